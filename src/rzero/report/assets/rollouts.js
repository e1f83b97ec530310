"use strict";
// The best and worst rollouts of each phase's last step.

const PILES = {
  challenger: ["Challenger", "Highest rewards", "Lowest rewards"],
  solver: ["Solver", "Right where most of the group was wrong", "Wrong where most of the group was right"],
};

function showRollouts() {
  const found = (iteration() && iteration().extremes) || [];
  if (!found.length) {
    fill("rollouts", el("p", {}, "No training phase of this iteration is finished."));
    return;
  }
  fill("rollouts", ...found.map((entry) => {
    const [role, best, worst] = PILES[entry.role];
    return el("div", { class: "pair" },
      el("h3", {}, `${role}, step ${entry.step}`),
      el("div", { class: "pile best" }, el("small", {}, best), ...entry.best.map(rolloutCard)),
      el("div", { class: "pile worst" }, el("small", {}, worst), ...entry.worst.map(rolloutCard)));
  }));
}

function rolloutCard(one) {
  const facts = one.facts.map(([name, value]) => el("div", {}, el("dt", {}, name), modelText("dd", "", value)));
  return el("article", { class: "card" },
    el("div", {}, el("small", {}, "reward "), el("strong", {}, plain(one.reward))),
    one.question === null ? null : modelText("div", "text", one.question),
    el("details", {}, el("summary", {}, "Completion"), modelText("div", "text", one.completion), more(one.hidden_characters, "rollouts.jsonl")),
    el("dl", { class: "line" }, ...facts));
}
