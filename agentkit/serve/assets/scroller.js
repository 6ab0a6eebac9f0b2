// A long list of entries of which only those near the window are in the document. Entries are
// grouped; a group that is far away is an empty box of its measured height.

const GROUP = 10; // entries of a group
const MARGIN = 1200; // px above and below the window that are kept filled
const GUESS = 90; // px of an entry that was never measured

export class Scroller {
  #groups = [];
  #where = new Map();
  #boxes = new Map();
  #far = new Set();
  #dirty = new Set();
  #frame = 0;
  #mean = GUESS;
  #watch;

  /**
   * @param {HTMLElement} host
   * @param {(entry) => HTMLElement} render
   */
  constructor(host, render) {
    this.host = host;
    this.render = render;
    this.follow = false;
    this.count = 0;
    this.#watch = new IntersectionObserver((found) => this.#seen(found), {
      rootMargin: `${MARGIN}px 0px`,
    });
  }

  /** Show these entries and no others. */
  set(entries) {
    this.#watch.disconnect();
    this.#groups = [];
    this.#where.clear();
    this.#boxes.clear();
    this.#far.clear();
    this.#dirty.clear();
    this.count = 0;
    this.host.replaceChildren();
    this.append(entries);
  }

  /** Add entries at the end. */
  append(entries) {
    for (const entry of entries) {
      let group = this.#groups.at(-1);
      if (!group || group.entries.length >= GROUP) group = this.#newGroup();
      group.entries.push(entry);
      this.#where.set(entry, group);
      this.count += 1;
      if (group.filled) group.box.append(this.#made(entry));
      else this.#empty(group);
    }
    if (entries.length) this.#stay();
  }

  /** An entry is not what it was. */
  touch(entry) {
    if (!this.#where.get(entry)?.filled) return;
    this.#dirty.add(entry);
    this.#frame ||= requestAnimationFrame(() => this.#refresh());
  }

  /** Where the entry is in the document, or null. */
  element(entry) {
    return this.#where.get(entry)?.filled ? entry.element : null;
  }

  /** The entry after or before the one that has the focus, brought into the window. */
  move(step) {
    const all = this.#groups.flatMap((each) => each.entries);
    const now = all.findIndex((each) => each.element?.contains(document.activeElement));
    const top = now >= 0 ? now : all.findIndex((each) => this.#below(each)) - (step > 0 ? 1 : 0);
    this.show(all[Math.max(0, Math.min(all.length - 1, top + step))]);
  }

  #below(entry) {
    const found = this.element(entry);
    return found !== null && found.getBoundingClientRect().top >= 60;
  }

  /** Bring an entry into the window and give it the focus. */
  show(entry) {
    const group = this.#where.get(entry);
    if (!group) return;
    this.#fill(group);
    entry.element.scrollIntoView({ block: "nearest" });
    entry.element.focus({ preventScroll: true });
  }

  /** To the end, and stay there as more comes. */
  toEnd() {
    this.follow = true;
    this.#stay();
  }

  #stay() {
    if (this.follow) window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  #newGroup() {
    const group = { box: document.createElement("div"), entries: [], filled: false, height: 0 };
    group.box.className = "group";
    this.#groups.push(group);
    this.#boxes.set(group.box, group);
    this.host.append(group.box);
    this.#watch.observe(group.box);
    return group;
  }

  #seen(found) {
    for (const each of found) {
      const group = this.#boxes.get(each.target);
      if (group && each.isIntersecting) this.#fill(group);
      else if (group?.filled) this.#far.add(group);
    }
    for (const group of this.#far) this.#clear(group);
    this.#stay();
  }

  #fill(group) {
    this.#far.delete(group);
    if (group.filled) return;
    group.filled = true;
    group.box.style.removeProperty("height");
    group.box.replaceChildren(...group.entries.map((each) => this.#made(each)));
  }

  #clear(group) {
    const { box } = group;
    // What has the focus, or is being selected, stays.
    if (box.contains(document.activeElement) || box.contains(getSelection()?.anchorNode)) return;
    this.#far.delete(group);
    group.height = box.offsetHeight;
    if (group.entries.length) this.#mean = 0.9 * this.#mean + (0.1 * group.height) / group.entries.length;
    group.filled = false;
    for (const each of group.entries) each.element = null;
    this.#empty(group);
    box.replaceChildren();
  }

  #empty(group) {
    const height = group.height || Math.round(group.entries.length * this.#mean);
    group.box.style.setProperty("height", `${height}px`);
  }

  #made(entry) {
    entry.element = this.render(entry);
    return entry.element;
  }

  #refresh() {
    this.#frame = 0;
    for (const entry of this.#dirty) {
      const old = entry.element;
      if (!old?.isConnected) continue;
      const focus = old.contains(document.activeElement) ? document.activeElement : null;
      const key = focus === old ? "" : focus?.getAttribute("data-key");
      old.replaceWith(this.#made(entry));
      if (focus) (key ? entry.element.querySelector(`[data-key="${CSS.escape(key)}"]`) : entry.element)?.focus({ preventScroll: true });
    }
    this.#dirty.clear();
    this.#stay();
  }
}
