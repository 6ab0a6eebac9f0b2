// The side of a session: what is true now, the plan, the checks, and the plots.

import { clean, h, line } from "./dom.js";
import { steps } from "./entries.js";
import { money, number, percent, plural, rung, tokens } from "./format.js";
import { costPlot, tokensPlot, toolsPlot } from "./plots.js";

/** Facts, plan and checks of a story; `account` is null until it was fetched. */
export function overview(story, account) {
  return [facts(story, account), plan(story), checks(story)].filter(Boolean);
}

/** The numbers in one line. */
export function gist(story, account) {
  const found = [plural(story.turns, "turn")];
  if (account) {
    found.push(money(account.cost_usd, account.priced));
    if (account.cache.total.prompt) found.push(`${percent(account.cache.total.ratio)} hit`);
    found.push(rung(account.rung));
  }
  return found.filter(Boolean).join(" · ");
}

function facts(story, account) {
  const rows = [];
  if (account) {
    const { cache, usage } = account;
    const { ratio, expected_ratio: expected } = cache.total;
    rows.push(["Cost", money(account.cost_usd, account.priced)]);
    rows.push(["Cache", cache.total.prompt ? `${percent(ratio, 1)} hit, ${percent(expected, 1)} expected` : "nothing counted"]);
    rows.push(["Tokens", `${tokens(usage.prompt_tokens)} in, ${tokens(usage.completion_tokens)} out`]);
    const lost = losses(cache.total);
    if (lost) rows.push(["Lost", lost]);
    rows.push(["Rung", rung(account.rung) + (account.lane === "main" ? "" : `, lane ${line(account.lane, 40)}`)]);
  }
  rows.push(["Turns", number(story.turns)]);
  if (story.facts.agent) rows.push(["Agent", clean(story.facts.agent)]);
  if (story.facts.workspace) rows.push(["Workspace", clean(story.facts.workspace)]);
  return h("section", { class: "card" }, h("h2", null, "Numbers"), h("dl", { class: "pairs" }, rows.map(([name, value]) => [h("dt", null, name), h("dd", null, value)])));
}

function losses({ missed, missed_usd: theirs, breaks, broken, broken_usd: ours }) {
  const found = [];
  if (breaks) found.push(`${breaks === 1 ? "1 broken prefix" : `${number(breaks)} broken prefixes`}: ${tokens(broken)}, ${money(ours)}`);
  if (missed) found.push(`misses of the provider: ${tokens(missed)}, ${money(theirs)}`);
  return found.join("; ");
}

function plan(story) {
  if (!story.plan.length) return null;
  return h("section", { class: "card" }, h("h2", null, "Plan"), steps(story.plan));
}

function checks(story) {
  if (!story.checks.size) return null;
  const rows = [...story.checks].map(([command, last]) => {
    const word = last === null ? "not run yet" : last.passed ? "passes" : "fails";
    const tone = last === null ? "" : last.passed ? "good" : "bad";
    return h("li", { class: tone }, last === null ? "○ " : last.passed ? "✓ " : "✗ ", h("code", null, line(command, 200)), ` ${word}`);
  });
  return h("section", { class: "card" }, h("h2", null, "Checks"), h("ul", { class: "checks" }, rows));
}

/** The plots of an account. */
export function plots(account) {
  const requests = account.requests.map((each, index) => ({ ...each, number: index + 1 }));
  const own = requests.filter((each) => !each.inherited);
  const counted = own.filter((each) => each.hit + each.miss > 0);
  const found = [];
  if (counted.length) found.push(tokensPlot(counted));
  if (own.length) found.push(costPlot(own));
  if (account.tools.length) found.push(toolsPlot(account.tools));
  if (!found.length) return [];
  return [h("section", { class: "card" }, h("h2", null, "Plots"), found)];
}
