"use strict";
// What all scripts of the page share: the data, the selection, the making of elements, numbers as text.
// Text goes into the page as text nodes only; no script parses HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const selection = { run: 0, iteration: 0 };

const run = () => DATA.runs[selection.run];
const iteration = () => run().iterations.find((entry) => entry.iteration === selection.iteration);

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function fill(id, ...children) {
  document.getElementById(id).replaceChildren(...children.filter(Boolean));
}

// Characters that hide, reorder or break text are shown as what they are. Joiners stay: some scripts need them.
const UNSEEN = /[^\P{Cc}\n\t]|[^\P{Cf}\u200c\u200d]|[\p{Cs}\p{Zl}\p{Zp}]/gu;
function visible(text) {
  return text.replace(UNSEEN, (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// An element for text that a model wrote.
function modelText(tag, className, text) {
  const made = el(tag, { class: `model ${className}`.trim(), dir: "auto" });
  made.textContent = visible(text);
  return made;
}

function more(hidden, file) {
  return hidden ? el("p", { class: "tag" }, `${hidden.toLocaleString("en")} more characters are in ${file}.`) : null;
}

const percent = (value) => (100 * value).toFixed(1);

function plain(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : value.toFixed(size < 10 ? 3 : 1);
}

// The end of a figure's name says whether it is a share.
const isShare = (name) => /(_frac|accuracy|self_consistency|greedy|@\d+)$/.test(name);

function interval(figure, show) {
  if (!figure || figure.low === null || figure.high === null) return "";
  return `[${show(figure.low)}, ${show(figure.high)}]`;
}

function figureCell(figure, show, signed) {
  if (!figure) return el("td", { class: "number" }, "–");
  const sign = signed && figure.value > 0 ? "+" : "";
  return el(
    "td",
    { class: "number" },
    sign + show(figure.value),
    el("span", { class: "interval" }, interval(figure, show)),
  );
}

function headRow(...names) {
  return el("thead", {}, el("tr", {}, ...names.map((name, place) =>
    el("th", { scope: "col", class: place ? "number" : null }, name))));
}

const iterationName = (number) => (number === 0 ? "base" : String(number));

// The value of a colour of the style sheet, resolved for the theme that is on.
function colour(name) {
  const probe = el("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
