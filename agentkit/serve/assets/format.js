// Numbers and times as people read them.

export function money(usd, priced = true) {
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : 4;
  return `$${usd.toFixed(digits)}${priced ? "" : " and more"}`;
}

export function tokens(count) {
  if (count < 1000) return String(count);
  if (count < 1e6) return `${(count / 1e3).toFixed(count < 1e4 ? 1 : 0)}k`;
  return `${(count / 1e6).toFixed(2)}M`;
}

export function number(value) {
  return Number(value).toLocaleString("en");
}

/** A share; what is not all is never shown as 100%. */
export function percent(share, digits = 0) {
  const found = (100 * share).toFixed(digits);
  return share < 1 && Number(found) === 100 ? `>${(99.9).toFixed(digits ? 1 : 0)}%` : `${found}%`;
}

export function seconds(value) {
  if (value < 0.95) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

/** How long ago, in one unit. */
export function age(time) {
  const past = Math.max(0, (Date.now() - new Date(time).getTime()) / 1000);
  if (past < 45) return "now";
  if (past < 3570) return `${Math.round(past / 60)} min`;
  if (past < 84600) return `${Math.round(past / 3600)} h`;
  return `${Math.round(past / 86400)} d`;
}

export function clock(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString("en-GB");
}

export function moment(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleString("en-GB");
}

/** A rung's name without the maker's. */
export function rung(name) {
  return String(name ?? "").replace(/^deepseek-(v4-)?/, "");
}

export function plural(count, word) {
  return `${number(count)} ${word}${count === 1 ? "" : "s"}`;
}
