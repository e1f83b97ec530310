"use strict";
// Health strip, results, ablations, options.

const HEADLINE = [
  ["votes.self_consistency", "mean p̂"],
  ["curriculum.kept_frac", "kept in band"],
  ["pool.distinct_frac", "distinct"],
  ["labels.all.label_accuracy", "labels true"],
  ["labels.kept.label_accuracy", "kept labels true"],
];

function showHealth() {
  const found = iteration();
  if (!found || !found.health.length) {
    fill("health", el("p", {}, "The base model has made no questions yet. Choose a later iteration, once one has begun."));
    return;
  }
  const words = { healthy: "✓ healthy", watch: "▲ look here", unknown: "not measured" };
  fill("health", ...found.health.map((entry) => el(
    "article", { class: `vital ${entry.status}` },
    el("h3", {}, entry.name),
    el("div", { class: "value" }, entry.value === null ? "–" : `${percent(entry.value)} %`),
    el("div", { class: "mark" }, words[entry.status]),
    el("p", {}, entry.sentence),
  )));
}

function showHeadline() {
  const all = DATA.runs.flatMap((entry) => entry.iterations);
  if (!all.length) {
    fill("headline", el("p", { class: "note" }, "No iteration is finished yet."));
    return;
  }
  const kinds = new Map();
  for (const entry of all) {
    for (const [test, found] of Object.entries(entry.accuracy)) {
      for (const kind of Object.keys(found)) kinds.set(`${test}: ${kind}`, [test, kind]);
    }
  }
  const benchmarks = [...new Set(all.flatMap((entry) => Object.keys(entry.benchmarks)))];
  const figures = HEADLINE.filter(([name]) => all.some((entry) => entry.figures[name]));
  const body = el("tbody", {});
  for (const one of DATA.runs) {
    one.iterations.forEach((entry, place) => {
      const name = entry.iteration === 0 ? "base model" : `iteration ${entry.iteration}`;
      const label = DATA.runs.length > 1 ? `${one.name} · ${name}` : name;
      body.append(el(
        "tr", { class: place === 0 && DATA.runs.length > 1 ? "first" : null },
        el("th", { scope: "row" }, label + (entry.finished ? "" : " (running)")),
        ...[...kinds.values()].map(([test, kind]) => figureCell((entry.accuracy[test] || {})[kind], percent)),
        ...benchmarks.map((name) => figureCell(entry.benchmarks[name], percent)),
        ...figures.map(([key]) => figureCell(entry.figures[key], percent)),
      ));
    });
  }
  fill("headline", el("table", {}, headRow("", ...kinds.keys(), ...benchmarks, ...figures.map(([, name]) => name)), body));
}

function showAblation() {
  const found = DATA.ablation;
  document.getElementById("ablation-section").hidden = !found;
  if (!found) return;
  document.getElementById("ablation-text").textContent =
    `After iteration ${found.iteration}, the last one that all runs finished. Runs that differ by their seed alone are one `
    + "row; differences are from the first row, paired by seed, or by test question where there is one seed.";
  const tests = [...new Set(found.rows.flatMap((row) => Object.keys(row.accuracy)))];
  const figures = HEADLINE.filter(([name]) => found.rows.some((row) => row.figures[name]));
  const head = tests.flatMap((test) => [`${test}: greedy`, "difference"]);
  const body = el("tbody", {}, ...found.rows.map((row) => el(
    "tr", {},
    el("th", { scope: "row", title: row.changes.join("\n") }, row.name, el("span", { class: "interval" }, row.runs.join(", "))),
    ...tests.flatMap((test) => [figureCell(row.accuracy[test], percent), figureCell(row.difference[test], percent, true)]),
    ...figures.map(([key]) => figureCell(row.figures[key], percent)),
  )));
  fill("ablation", el("table", {}, headRow("", ...head, ...figures.map(([, name]) => name)), body));
}

const written = (value) => (Array.isArray(value) ? value.join(", ") || "none" : String(value) || "none");

function showOptions() {
  const only = document.getElementById("only-changed").checked;
  const body = el("tbody", {});
  DATA.runs[0].options.forEach((option, place) => {
    const values = DATA.runs.map((one) => written(one.options[place].value));
    const standard = written(option.default);
    if (only && values.every((value) => value === standard)) return;
    body.append(el(
      "tr", {},
      el("th", { scope: "row" }, option.name),
      ...values.map((value) => el("td", { class: value === standard ? null : "changed" }, value)),
      el("td", {}, standard),
      el("td", {}, option.meaning),
    ));
  });
  const names = DATA.runs.length > 1 ? DATA.runs.map((one) => one.name) : ["value"];
  const head = ["option", ...names, "default", "meaning"].map((name) => el("th", { scope: "col" }, name));
  fill("options", el("table", {}, el("thead", {}, el("tr", {}, ...head)), body));
}

function showFooter() {
  const lines = DATA.runs.map((one) => {
    const versions = Object.entries(one.versions).map(([name, version]) => `${name} ${version}`).join(", ");
    return el("div", {}, `${one.name}: model ${one.model}, seed ${one.seed}, begun ${one.created}; ${versions}`);
  });
  fill("footer", el("div", {}, `Written ${DATA.written} by rzero ${DATA.rzero}.`), ...lines);
}
