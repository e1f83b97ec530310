"use strict";
// What is selected, what the theme is, and who must be told.

function showSelection() {
  const found = iteration();
  const name = selection.iteration === 0 ? "the base model" : `iteration ${selection.iteration}`;
  const where = DATA.runs.length > 1 ? `${run().name}, ${name}.` : `Of ${name}.`;
  for (const line of document.querySelectorAll(".where")) line.textContent = found ? where : "";
  showHealth();
  showQuestions();
  showRollouts();
  redraw((one) => one.follows);
}

function showIterations() {
  const control = document.getElementById("iteration");
  for (const old of control.querySelectorAll("label")) old.remove();
  const numbers = run().iterations.map((entry) => entry.iteration);
  if (!numbers.includes(selection.iteration)) selection.iteration = numbers.length ? numbers[numbers.length - 1] : 0;
  control.hidden = numbers.length < 2;
  for (const number of numbers) {
    const radio = el("input", { type: "radio", name: "iteration", value: number, "aria-label": number ? `iteration ${number}` : "base model" });
    radio.checked = number === selection.iteration;
    radio.addEventListener("change", () => { selection.iteration = number; showSelection(); });
    control.append(el("label", {}, radio, el("span", {}, iterationName(number))));
  }
}

function showRuns() {
  const picker = document.getElementById("run");
  picker.append(...DATA.runs.map((one, place) => el("option", { value: place }, one.name)));
  document.getElementById("run-control").hidden = DATA.runs.length < 2;
  picker.addEventListener("change", () => {
    selection.run = Number(picker.value);
    showIterations();
    showSelection();
  });
}

function themeButton() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-pressed", String(dark()));
    redraw(() => true);
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
}

document.getElementById("title").textContent = DATA.title;
document.title = `${DATA.title} · rzero report`;
fill("notes", ...DATA.notes.map((note) => el("p", { class: "note" }, note)));
selection.iteration = Math.max(0, ...DATA.runs[0].iterations.filter((entry) => entry.questions).map((entry) => entry.iteration));
makeBrowser();
showRuns();
showIterations();
showHeadline();
showAblation();
showOptions();
showCharts();
showSteps();
showSelection();
showFooter();
themeButton();
document.getElementById("only-changed").addEventListener("change", showOptions);
document.documentElement.dataset.ready = "true";
