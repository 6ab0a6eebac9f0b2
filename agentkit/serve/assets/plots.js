// Three small plots as SVG, each with its numbers as a table. However long the session is, a plot
// has at most so many marks.

import { h, line, svg } from "./dom.js";
import { clock, money, number, plural, rung, seconds, tokens } from "./format.js";

const BARS = 80;
const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 50;
const BOTTOM = 18;
const TOP = 8;

/** Neighbours joined, so that at most `BARS` remain: each is a list of requests. */
function binned(requests) {
  const size = Math.max(1, Math.ceil(requests.length / BARS));
  const bins = [];
  for (let at = 0; at < requests.length; at += size) bins.push(requests.slice(at, at + size));
  return bins;
}

const mean = (list, get) => list.reduce((sum, each) => sum + get(each), 0) / list.length;

/** A round number at or above the largest value. */
function ceiling(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((each) => each * unit).find((each) => each >= value);
}

function frame(top, words, marks, label, bottom) {
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const grid = [0, 0.5, 1].flatMap((share) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(share), y2: y(share) }),
    svg("text", { class: "tick", x: LEFT - 5, y: y(share) + 3.5, "text-anchor": "end" }, words(top * share)),
  ]);
  const ends = bottom.map((text, index) =>
    svg("text", { class: "tick", x: index ? WIDTH : LEFT, y: HEIGHT - 4, "text-anchor": index ? "end" : "start" }, text),
  );
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, grid, marks, ends);
}

function figure(title, drawing, legend, head, rows) {
  const cells = (list, tag) => list.map((each, index) => h(index ? tag : "th", index || tag === "th" ? null : { scope: "row" }, each));
  const table = h("details", { class: "fold" }, h("summary", null, `${title} as a table`));
  table.addEventListener("toggle", () => {
    if (!table.open || table.childElementCount > 1) return;
    const body = rows().map((each) => h("tr", null, cells(each, "td")));
    const inner = h("table", null, h("thead", null, h("tr", null, cells(head, "th"))), h("tbody", null, body));
    table.append(h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": `${title} as a table` }, inner));
  });
  const keys = legend.map(([kind, words]) => h("span", { class: `key ${kind}` }, words));
  return h("figure", { class: "plot" }, h("figcaption", null, h("b", null, title), keys), drawing, table);
}

/** Input tokens of each request, read with and without the cache, beside what was expected. */
export function tokensPlot(requests) {
  const bins = binned(requests);
  const shown = bins.map((bin) => ({
    name: bin.length > 1 ? `requests ${bin[0].number}–${bin.at(-1).number}` : `request ${bin[0].number}`,
    bin,
    hit: mean(bin, (each) => each.hit),
    miss: mean(bin, (each) => each.miss),
    expected: bin.every((each) => each.expected === null) ? null : mean(bin, (each) => each.expected ?? each.hit),
  }));
  const top = ceiling(Math.max(...shown.map((each) => each.hit + each.miss)));
  const step = (WIDTH - LEFT) / shown.length;
  const wide = Math.max(1, Math.min(18, step - (step > 3 ? 1 : 0)));
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const marks = shown.map((each, index) => {
    const x = LEFT + index * step + (step - wide) / 2;
    const all = each.hit + each.miss;
    return svg(
      "g",
      null,
      svg("title", null, `${each.name}: ${number(Math.round(each.hit))} hit, ${number(Math.round(each.miss))} missed`),
      svg("rect", { class: "hit", x, width: wide, y: y(each.hit), height: y(0) - y(each.hit) }),
      svg("rect", { class: "miss", x, width: wide, y: y(all), height: y(each.hit) - y(all) }),
      each.expected === null ? null : svg("line", { class: "expected", x1: x - 0.5, x2: x + wide + 0.5, y1: y(each.expected), y2: y(each.expected) }),
    );
  });
  const sum = (get) => requests.reduce((total, each) => total + get(each), 0);
  const label = `Input tokens of ${plural(requests.length, "request")}: ${tokens(sum((each) => each.hit))} hit, ${tokens(sum((each) => each.miss))} missed`;
  const drawing = frame(top, tokens, marks, label, [`${requests[0].number}`, `${requests.at(-1).number}`]);
  const rows = () =>
    shown.map((each) => [
      each.name.replace(/^requests? /, ""),
      number(Math.round(each.hit)),
      number(Math.round(each.miss)),
      each.expected === null ? "unknown" : number(Math.round(each.expected)),
      [...new Set(each.bin.map((one) => rung(one.rung)))].join(", "),
    ]);
  const title = bins.length < requests.length ? "Tokens per request (means)" : "Tokens per request";
  const legend = [["hit", "hit"], ["miss", "miss"], ["expected", "expected to hit"]];
  return figure(title, drawing, legend, ["Request", "Hit", "Miss", "Expected", "Rung"], rows);
}

/** What was spent up to each moment. */
export function costPlot(requests) {
  let spent = 0;
  const points = requests.map((each) => ({ time: each.time, spent: (spent += each.cost_usd), number: each.number }));
  const size = Math.max(1, Math.ceil(points.length / BARS));
  const shown = points.filter((_, index) => index % size === size - 1 || index === points.length - 1);
  const from = Date.parse(points[0].time);
  const whole = Math.max(1, Date.parse(points.at(-1).time) - from);
  const top = ceiling(spent);
  const x = (time) => LEFT + ((WIDTH - LEFT) * (Date.parse(time) - from)) / whole;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  let path = `M${LEFT} ${y(0)}`;
  for (const each of shown) path += `H${x(each.time).toFixed(1)}V${y(each.spent).toFixed(1)}`;
  const marks = [
    svg("path", { class: "area", d: `${path}V${y(0)}Z` }),
    svg("path", { class: "cost", d: path }),
  ];
  const label = `Cost over time: ${money(spent)} in ${seconds(whole / 1000)}`;
  const drawing = frame(top, (value) => `$${Number(value.toPrecision(2))}`, marks, label, ["0 s", seconds(whole / 1000)]);
  const rows = () => shown.map((each) => [each.number, clock(each.time), money(each.spent)]);
  return figure("Cost over time", drawing, [], ["Request", "Time", "Spent"], rows);
}

/** How long the calls of each tool took together. */
export function toolsPlot(tools) {
  const shown = tools.slice(0, 10);
  const most = Math.max(...shown.map((each) => each.seconds)) || 1;
  const row = 20;
  const height = shown.length * row + 4;
  const marks = shown.map((each, index) => {
    const y = index * row + 4;
    const wide = Math.max(1, (130 * each.seconds) / most);
    return svg(
      "g",
      null,
      svg("text", { class: "tick name", x: 110, y: y + 11, "text-anchor": "end" }, line(each.tool, 18)),
      svg("rect", { class: "tool", x: 116, y, width: wide, height: 14, rx: 2 }),
      svg("text", { class: "tick", x: 120 + wide, y: y + 11 }, `${seconds(each.seconds)} · ${number(each.calls)}×`),
    );
  });
  const label = `Time per tool: ${shown.map((each) => `${line(each.tool, 40)} ${seconds(each.seconds)}`).join(", ")}`;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label }, marks);
  const rows = () => tools.slice(0, 200).map((each) => [line(each.tool, 60), number(each.calls), number(each.failed), seconds(each.seconds)]);
  return figure("Time per tool", drawing, [], ["Tool", "Calls", "Failed", "Time"], rows);
}
