"use strict";
// The browser of questions. Only the rows on the screen are in the page, so ten thousand cost no more than forty.

const ROW_HEIGHT = 34;
const OVERSCAN = 12;
const COLUMNS = [
  { key: "place", name: "#", width: "3.6rem", optional: true },
  { key: "text", name: "Question" },
  { key: "label", name: "Label", width: "5rem", optional: true },
  { key: "self_consistency", name: "p̂", width: "5.5rem" },
  { key: "ballots", name: "Votes", width: "5.5rem", optional: true, title: "by the number of different answers" },
  { key: "verdict", name: "Verdict", width: "6.8rem" },
  { key: "cluster_size", name: "Cluster", width: "5.2rem", optional: true, title: "by how many questions say nearly the same" },
];
const browser = { search: "", verdict: "", sort: "place", down: false, active: 0, order: [], hay: [] };

function makeBrowser() {
  const search = el("input", { type: "search", id: "search", placeholder: "Search questions and labels", "aria-label": "Search questions and labels" });
  const verdict = el("select", { id: "verdict", "aria-label": "Verdict" });
  const count = el("output", { id: "count", for: "search verdict" });
  const heads = COLUMNS.map((column) => {
    const button = el("button", { type: "button", title: `Sort ${column.title || `by ${column.name}`}` }, column.name);
    button.addEventListener("click", () => sortBy(column.key));
    return el("th", { role: "columnheader", "aria-sort": "none", "data-key": column.key, class: column.optional ? "optional" : null }, button);
  });
  const widths = COLUMNS.map((column) => {
    const made = el("col", { class: column.optional ? "optional" : null });
    if (column.width) made.style.width = column.width;
    return made;
  });
  const table = el("table", { role: "presentation" }, el("colgroup", {}, ...widths),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)), el("tbody", { role: "rowgroup", id: "rows" }));
  const scroller = el("div", { class: "scroller", id: "scroller", tabindex: "0", role: "grid", "aria-label": "Questions; arrow keys move, Home and End jump" }, table);
  const detail = el("aside", { class: "detail", id: "detail", "aria-label": "The chosen question", tabindex: "0" });
  fill("questions", el("div", { class: "browser" }, el("div", { class: "tools" }, search, verdict, count), scroller, detail));
  search.addEventListener("input", () => { browser.search = search.value.toLowerCase(); arrange(); });
  verdict.addEventListener("change", () => { browser.verdict = verdict.value; arrange(); });
  scroller.addEventListener("scroll", () => requestAnimationFrame(showRows));
  scroller.addEventListener("keydown", moveByKey);
}

const pool = () => (iteration() && iteration().questions) || null;

// A new iteration or run: what is searched in, and the verdicts that there are.
function showQuestions() {
  const found = pool();
  browser.hay = found ? found.text.map((text, row) => `${text}\n${found.label[row] || ""}`.toLowerCase()) : [];
  const counts = new Map();
  for (const verdict of found ? found.verdict : []) counts.set(verdict, (counts.get(verdict) || 0) + 1);
  const picker = document.getElementById("verdict");
  picker.replaceChildren(el("option", { value: "" }, "all verdicts"), ...[...counts].sort().map(([name, count]) =>
    el("option", { value: name }, `${name.replace("_", " ")} (${count})`)));
  picker.value = counts.has(browser.verdict) ? browser.verdict : "";
  browser.verdict = picker.value;
  arrange();
}

function sortBy(key) {
  browser.down = browser.sort === key ? !browser.down : key === "self_consistency" || key === "cluster_size";
  browser.sort = key;
  arrange();
}

function sortKeys(found) {
  if (browser.sort === "place") return null;
  if (browser.sort === "ballots") return found.ballots.map((entry) => entry.length);
  if (browser.sort === "text") return found.text;
  if (browser.sort === "label") return found.label.map((text) => text || "");
  return found[browser.sort];
}

function arrange() {
  const found = pool();
  const rows = found ? [...found.id.keys()] : [];
  browser.order = rows.filter((row) => (!browser.verdict || found.verdict[row] === browser.verdict)
    && (!browser.search || browser.hay[row].includes(browser.search)));
  const keys = found && sortKeys(found);
  const sign = browser.down ? -1 : 1;
  if (keys) browser.order.sort((a, b) => (keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : a - b));
  else if (browser.down) browser.order.reverse();
  for (const head of document.querySelectorAll("#scroller th")) {
    const on = head.dataset.key === browser.sort;
    head.setAttribute("aria-sort", on ? (browser.down ? "descending" : "ascending") : "none");
    const button = head.firstChild;
    button.textContent = COLUMNS.find((column) => column.key === head.dataset.key).name + (on ? (browser.down ? " ↓" : " ↑") : "");
  }
  const total = found ? found.id.length : 0;
  document.getElementById("count").textContent = `${browser.order.length.toLocaleString("en")} of ${total.toLocaleString("en")} questions`;
  browser.active = 0;
  document.getElementById("scroller").scrollTop = 0;
  showRows();
  showDetail();
}

function showRows() {
  const scroller = document.getElementById("scroller");
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_HEIGHT) - OVERSCAN);
  const last = Math.min(browser.order.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_HEIGHT) + OVERSCAN);
  const rows = [];
  for (let place = first; place < last; place += 1) rows.push(rowOf(place));
  const gap = (size) => {
    const cell = el("td"); // of one column: a wide screen shows more columns than a narrow one
    cell.style.height = `${size * ROW_HEIGHT}px`;
    return el("tr", { class: "space", "aria-hidden": "true" }, cell);
  };
  fill("rows", first ? gap(first) : null, ...rows, last < browser.order.length ? gap(browser.order.length - last) : null);
  scroller.setAttribute("aria-rowcount", browser.order.length + 1);
  scroller.setAttribute("aria-activedescendant", browser.order.length ? `row-${browser.active}` : "");
}

function rowOf(place) {
  const found = pool();
  const row = browser.order[place];
  const share = found.self_consistency[row];
  const bar = el("i", {});
  bar.style.setProperty("--part", `${100 * share}%`);
  const made = el("tr", { id: `row-${place}`, role: "row", "aria-rowindex": place + 2, "aria-selected": String(place === browser.active) },
    el("td", {}, String(row + 1)),
    modelText("td", "", found.text[row].slice(0, 300).replace(/\s+/g, " ")),
    modelText("td", "", found.label[row] === null ? "none" : found.label[row]),
    el("td", {}, el("span", { class: "meter" }, share.toFixed(2), bar)),
    el("td", {}, stack(found.ballots[row])),
    el("td", {}, el("span", { class: `tag ${found.verdict[row]}` }, found.verdict[row].replace("_", " ") + (found.tied[row] ? ", tied" : ""))),
    el("td", {}, `${found.cluster[row]} (×${found.cluster_size[row]})`));
  [...made.children].forEach((cell, column) => {
    cell.setAttribute("role", "gridcell");
    cell.classList.toggle("optional", Boolean(COLUMNS[column].optional));
  });
  made.addEventListener("click", () => choose(place));
  return made;
}

function stack(ballots) {
  return el("span", { class: "stack", "aria-hidden": "true" }, ...ballots.map(([, status, count], place) => {
    const part = el("i", { class: status !== "valid" ? "bad" : place === ballots.findIndex((entry) => entry[1] === "valid") ? "major" : null });
    part.style.flexGrow = count;
    return part;
  }));
}

function choose(place) {
  browser.active = Math.max(0, Math.min(browser.order.length - 1, place));
  const scroller = document.getElementById("scroller");
  const head = scroller.querySelector("thead").offsetHeight;
  const top = browser.active * ROW_HEIGHT;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  const room = scroller.clientHeight - head - ROW_HEIGHT;
  if (top > scroller.scrollTop + room) scroller.scrollTop = top - room;
  showRows();
  showDetail();
}

function moveByKey(event) {
  if (event.target !== event.currentTarget) return;
  const page = Math.floor(event.currentTarget.clientHeight / ROW_HEIGHT) - 2;
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (!(event.key in moves) || !browser.order.length) return;
  event.preventDefault();
  choose(browser.active + moves[event.key]);
}

function showDetail() {
  const found = pool();
  if (!browser.order.length) {
    fill("detail", el("p", {}, found ? "No question matches." : "This iteration has no questions. The base model is only evaluated."));
    return;
  }
  const row = browser.order[browser.active];
  const ballots = found.ballots[row];
  const total = ballots.reduce((sum, [, , count]) => sum + count, 0);
  const fact = (name, value) => [el("dt", {}, name), value];
  fill("detail",
    el("h3", {}, found.id[row]),
    modelText("div", "text", found.text[row]),
    more(found.hidden_characters[row], "vote/votes.jsonl"),
    el("dl", { class: "facts" },
      ...fact("label", modelText("dd", "", found.label[row] === null ? "none" : found.label[row])),
      ...fact("p̂", el("dd", {}, found.self_consistency[row].toFixed(3))),
      ...fact("verdict", el("dd", {}, found.verdict[row].replace("_", " ") + (found.tied[row] ? ", tied" : ""))),
      ...fact("cluster", el("dd", {}, `${found.cluster[row]}, with ${found.cluster_size[row]} of the pool's questions`))),
    el("h3", {}, `${total} votes`),
    el("ul", { class: "ballots" }, ...ballots.map(([answer, status, count]) => {
      const bar = el("i", {});
      bar.style.setProperty("--part", `${(100 * count) / total}%`);
      const name = answer === null ? el("span", { class: "tag" }, status.replace("_", " ")) : modelText("span", "", answer);
      return el("li", {}, name, bar, el("b", {}, String(count)));
    })));
}
