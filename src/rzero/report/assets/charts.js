"use strict";
// The curves. A chart is drawn when it comes near the screen, and again when theme or selection change.

const HUES = ["accent", "second", "third", "fourth", "fifth", "soft"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "cross"];

const CURVES = [
  { title: "Difficulty drift: mean p̂", text: "How sure the Solver is of its majority answer. Falling: questions get harder for it.",
    series: [["votes.self_consistency", "pool"]] },
  { title: "Difficulty drift: by the oracle", text: "Mean difficulty in the domain's own unit, over the pool and over the kept.",
    series: [["labels.all.mean_difficulty", "pool"], ["labels.kept.mean_difficulty", "kept"]] },
  { title: "Label accuracy", text: "Pseudo-labels that are true, and questions that have a true answer at all.",
    series: [["labels.all.label_accuracy", "labels true"], ["labels.kept.label_accuracy", "labels true, kept"], ["labels.all.valid_frac", "answerable"]] },
  { title: "Distinct questions", text: "Not repeated word for word; and clusters of questions that say nearly the same, for each question.",
    series: [["pool.distinct_frac", "pool"], ["challenger.distinct_frac", "in training"], ["pool.clusters_frac", "clusters"]] },
  { title: "Challenger: reward and its parts", fromZero: true, text: "Means over the phase's steps; the interval is the spread between steps.",
    series: [["challenger.mean_reward", "reward"], ["challenger.mean_uncertainty", "uncertainty"], ["challenger.mean_repetition", "repetition"]] },
  { title: "Solver: reward", fromZero: true, text: "Mean over the phase's steps, and groups whose rewards are all equal.",
    series: [["solver.mean_reward", "reward"], ["solver.zero_variance_frac", "groups without variance"]] },
  { title: "Completion length", fromZero: true, text: "Mean tokens. A steady climb means that length pays: read the rollouts.",
    series: [["challenger.mean_completion_tokens", "Challenger, training"], ["pool.completion_tokens", "Challenger, pool"], ["solver.mean_completion_tokens", "Solver, training"]],
    ending: ".completion_tokens" },
  { title: "Cut-off share", fromZero: true, text: "Completions that reached the token limit. Healthy below 10 %.",
    series: [["challenger.cut_off_frac", "Challenger"], ["votes.cut_off_frac", "votes"], ["solver.cut_off_frac", "Solver"]],
    ending: ".cut_off_frac" },
];

// Plotly reads a little markup in names; ours are file names, which may hold anything.
const label = (text) => visible(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

function layout(extra) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  return {
    margin: { l: 44, r: 12, t: 8, b: 34 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("soft") },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    ...extra, xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis },
  };
}

// One line for each run and series: `pick(iteration)` gives the figure.
function curve(pick, name, place, runPlace, share) {
  const one = DATA.runs[runPlace];
  const points = one.iterations.map((entry) => [entry.iteration, pick(entry)]).filter(([, figure]) => figure);
  if (!points.length) return null;
  const many = DATA.runs.length;
  const hue = colour(HUES[(many > 1 ? runPlace : place) % HUES.length]);
  const shift = (runPlace - (many - 1) / 2) * 0.05 + (many > 1 ? 0 : place * 0.04);
  const show = share ? (value) => `${percent(value)} %` : plain;
  return {
    name: label(many > 1 ? `${one.name}: ${name}` : name), showlegend: many === 1,
    x: points.map(([number]) => number + shift), y: points.map(([, figure]) => figure.value),
    error_y: {
      type: "data", symmetric: false, thickness: 1.2, width: 3, color: hue,
      array: points.map(([, figure]) => (figure.high === null ? 0 : figure.high - figure.value)),
      arrayminus: points.map(([, figure]) => (figure.low === null ? 0 : figure.value - figure.low)),
    },
    mode: "lines+markers", line: { color: hue, width: 2, dash: many > 1 ? DASHES[place % DASHES.length] : "solid" },
    marker: { color: hue, size: 7, symbol: SYMBOLS[place % SYMBOLS.length] },
    hovertemplate: "%{text}", text: points.map(([number, figure]) =>
      `${label(`${one.name}, ${number === 0 ? "base" : `iteration ${number}`}`)}<br>${label(name)}: ${show(figure.value)} ${interval(figure, show)}<extra></extra>`),
    numbers: points, show,
  };
}

const PLOT_HEIGHT = 250;
const LEGEND_ROW = 17;

function curveChart(title, text, series, fromZero) {
  const share = series.every(([key]) => isShare(key));
  const traces = () => DATA.runs.flatMap((one, runPlace) =>
    series.map(([key, name, pick], place) => curve(pick || ((entry) => entry.figures[key]), name, place, runPlace, share)))
    .filter(Boolean);
  if (!traces().length) return null;
  const last = Math.max(...DATA.runs.map((one) => one.iterations.length - 1));
  const ticks = [...Array(last + 1).keys()];
  return chart(title, text, () => ({
    data: [...traces(), ...legend(series)],
    layout: layout({
      xaxis: { tickvals: ticks, ticktext: ticks.map(iterationName), range: [-0.3, last + 0.3], title: { text: "iteration", standoff: 6 } },
      yaxis: { tickformat: share ? ".2~%" : "", rangemode: fromZero ? "tozero" : "normal" },
      showlegend: series.length > 1 && traces().length > 1,
    }),
  }), () => curveNumbers(traces()), false, PLOT_HEIGHT + LEGEND_ROW * Math.max(0, series.length - 4));
}

// With several runs colours tell runs apart, as the key above the charts says; a chart's own legend is of line styles.
function legend(series) {
  if (DATA.runs.length < 2) return [];
  const there = series.filter(([key, , pick]) => DATA.runs.some((one) => one.iterations.some((entry) => (pick ? pick(entry) : entry.figures[key]))));
  return there.map(([, name]) => {
    const place = series.findIndex(([, other]) => other === name);
    return {
      name: label(name), x: [null], y: [null], mode: "lines+markers", line: { color: colour("soft"), dash: DASHES[place % DASHES.length] },
      marker: { color: colour("soft"), symbol: SYMBOLS[place % SYMBOLS.length] },
    };
  });
}

function runKey() {
  if (DATA.runs.length < 2) return null;
  return el("ul", { class: "key", "aria-label": "Colours of the runs" }, ...DATA.runs.map((one, place) => {
    const mark = el("i", {});
    mark.style.background = `var(--${HUES[place % HUES.length]})`;
    return el("li", {}, mark, one.name);
  }));
}

function curveNumbers(traces) {
  return el("table", {}, headRow("series", "iteration", "value", "95 % interval"), el("tbody", {}, ...traces.flatMap((trace) =>
    trace.numbers.map(([number, figure]) => el("tr", {},
      el("th", { scope: "row" }, trace.name), el("td", { class: "number" }, iterationName(number)),
      el("td", { class: "number" }, trace.show(figure.value)), el("td", { class: "number" }, interval(figure, trace.show)))))));
}

function histogram() {
  const parts = () => {
    const own = iteration() || { agree_all: [], agree_kept: [] };
    const others = DATA.runs.length > 1 ? DATA.runs.filter((one) => one !== run()) : [];
    return [own, others.map((one) => [one, one.iterations.find((entry) => entry.iteration === selection.iteration)])];
  };
  const shares = (counts, total) => counts.map((count) => (total ? count / total : 0));
  const places = (counts) => counts.map((_, votes) => votes / (counts.length - 1));
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  return chart("Self-consistency p̂ and the band", "Share of questions by p̂, in the chosen iteration. The shaded band is what the Solver learns from.", () => {
    const [own, others] = parts();
    const total = sum(own.agree_all);
    const bars = (counts, name, hue) => ({
      type: "bar", name, x: places(counts), y: shares(counts, total), marker: { color: colour(hue) }, customdata: counts,
      hovertemplate: `p̂ %{x:.2f}: %{customdata} (%{y:.1%})<extra>${name}</extra>`,
    });
    const lines = others.filter(([, entry]) => entry && entry.agree_all.length).map(([one, entry]) => ({
      showlegend: false, name: label(one.name), x: places(entry.agree_all), y: shares(entry.agree_all, sum(entry.agree_all)), mode: "lines+markers",
      line: { color: colour(HUES[DATA.runs.indexOf(one) % HUES.length]), width: 1.5, shape: "hvh" }, marker: { size: 4 },
    }));
    const [low, high] = run().band;
    return {
      data: total ? [bars(own.agree_all, "all", "faint"), bars(own.agree_kept, "kept", HUES[selection.run % HUES.length]), ...lines] : lines,
      layout: layout({
        barmode: "overlay", bargap: 0.15, showlegend: true, xaxis: { range: [-0.06, 1.06], title: { text: "p̂", standoff: 6 } },
        yaxis: { tickformat: ".0%" },
        shapes: [{ type: "rect", xref: "x", yref: "paper", x0: low, x1: high, y0: 0, y1: 1, fillcolor: colour("accent"), opacity: 0.1, line: { width: 0 }, layer: "below" }],
      }),
    };
  }, () => {
    const [own] = parts();
    return el("table", {}, headRow("votes in the majority", "questions", "kept"), el("tbody", {}, ...own.agree_all.map((count, votes) =>
      el("tr", {}, el("th", { scope: "row" }, `${votes} of ${own.agree_all.length - 1}`), el("td", { class: "number" }, String(count)),
        el("td", { class: "number" }, String(own.agree_kept[votes]))))));
  }, true);
}

const charts = [];
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) draw(charts.find((one) => one.plot === entry.target));
}, { rootMargin: "300px" });

const resized = new ResizeObserver((entries) => {
  for (const entry of entries) if (charts.find((one) => one.plot === entry.target).drawn) Plotly.Plots.resize(entry.target);
});

function chart(title, text, make, numbers, follows, height) {
  const plot = el("div", { class: "plot", role: "img", "aria-label": `${title}. ${text}` });
  if (height) plot.style.height = `${height}px`;
  const table = el("div", { class: "wide" });
  const details = el("details", {}, el("summary", {}, "Numbers"), table);
  const one = { plot, make, numbers, follows, table, details, drawn: false };
  details.addEventListener("toggle", () => { if (details.open) table.replaceChildren(numbers()); });
  charts.push(one);
  seen.observe(plot);
  resized.observe(plot);
  return el("article", { class: "chart" }, el("h3", {}, title), el("p", {}, text), plot, details);
}

function draw(one) {
  if (one.drawn) return;
  one.drawn = true;
  const { data, layout: look } = one.make();
  Plotly.react(one.plot, data, look, { displayModeBar: false });
}

// Draw again what is on the screen; the rest when it comes there.
function redraw(which) {
  for (const one of charts.filter(which)) {
    one.drawn = false;
    if (one.details.open) one.table.replaceChildren(one.numbers());
    seen.unobserve(one.plot);
    seen.observe(one.plot);
  }
}

function showCharts() {
  const tests = [...new Set(DATA.runs.flatMap((one) => one.iterations.flatMap((entry) => Object.keys(entry.accuracy))))];
  const accuracy = tests.map((test) => {
    const kinds = [...new Set(DATA.runs.flatMap((one) => one.iterations.flatMap((entry) => Object.keys(entry.accuracy[test] || {}))))];
    return curveChart(`Accuracy: ${test}`, "The Solver against gold answers, by iteration.",
      kinds.map((kind) => [kind, kind, (entry) => (entry.accuracy[test] || {})[kind]]));
  });
  const names = [...new Set(DATA.runs.flatMap((one) => one.iterations.flatMap((entry) => Object.keys(entry.benchmarks))))];
  const benchmarks = [...new Set(names.map((name) => name.split(": ")[0]))].map((test) =>
    curveChart(`Benchmark: ${test}`, "Headlines of rzero eval, by iteration.", names.filter((name) => name.split(": ")[0] === test)
      .map((name) => ["accuracy", name.split(": ")[1], (entry) => entry.benchmarks[name]])));
  const curves = CURVES.map((one) => {
    const extra = one.ending ? tests.map((test) => [`evaluation.${test}${one.ending}`, `evaluation: ${test}`]) : [];
    return curveChart(one.title, one.text, [...one.series, ...extra], one.fromZero);
  });
  fill("key", runKey());
  fill("charts", ...accuracy, ...benchmarks, histogram(), ...curves);
}

function showSteps() {
  const picker = document.getElementById("metric");
  const names = new Map();
  for (const one of DATA.runs) {
    for (const step of one.steps) for (const name of Object.keys(step.metrics)) names.set(`${step.phase}: ${name}`, [step.phase, name]);
  }
  picker.append(...[...names.keys()].sort().map((name) => el("option", { value: name }, name)));
  if (!names.size) return;
  picker.value = names.has("train_solver: mean_reward") ? "train_solver: mean_reward" : picker.value;
  const points = (one) => {
    const [phase, name] = names.get(picker.value);
    return one.steps.filter((step) => step.phase === phase && step.metrics[name] !== undefined && step.metrics[name] !== null)
      .map((step) => [`${step.iteration}.${step.step}`, step.metrics[name], step]);
  };
  const made = chart("By step", "One point for each training step, named iteration.step.", () => ({
    data: DATA.runs.map((one, place) => ({
      name: label(one.name), x: points(one).map((_, index) => index), y: points(one).map(([, value]) => value), mode: "lines+markers",
      text: points(one).map(([where]) => where), hovertemplate: "step %{text}: %{y:.4g}<extra></extra>",
      line: { color: colour(HUES[place % HUES.length]), width: 1.5 }, marker: { size: 4 },
    })),
    layout: layout({
      showlegend: false, yaxis: {},
      xaxis: stepTicks(DATA.runs.map(points).reduce((longest, found) => (found.length > longest.length ? found : longest), [])),
    }),
  }), () => el("table", {}, headRow("run", "step", "value"), el("tbody", {}, ...DATA.runs.flatMap((one) => points(one).map(([where, value]) =>
    el("tr", {}, el("th", { scope: "row" }, one.name), el("td", { class: "number" }, where), el("td", { class: "number" }, plain(value))))))));
  fill("step-chart", made);
  const own = charts[charts.length - 1];
  picker.addEventListener("change", () => redraw((one) => one === own));
}

function stepTicks(points) {
  const firsts = points.map(([, , step], index) => [step.iteration, index]).filter(([number], index, all) => !index || all[index - 1][0] !== number);
  return { tickvals: firsts.map(([, index]) => index), ticktext: firsts.map(([number]) => `iteration ${number}`) };
}
