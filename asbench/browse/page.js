"use strict";
{
// `gallery`, from data.js: {store, width, height, gain, run, sets: [{dataset, method, seed, category,
// folder, normals, source, change, unchanged, area, digest, score}]}, one value a sample in each list.
const VIEWS = { i: "image", c: "clean", m: "mask", d: "difference", s: "spotlight" };
const FILTERS = ["dataset", "category", "method", "seed"];
const PRINTED = 240;
const element = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const sets = gallery.sets;
const address = (set) => `${set.dataset}/${set.method}/${set.seed}/${set.category}`;
const setOf = [], indexOf = [];
sets.forEach((set, s) => set.digest.forEach((_, i) => { setOf.push(s); indexOf.push(i); }));
const byAddress = new Map(sets.map((set) => [address(set), set]));
const firstOf = new Map();
setOf.forEach((s, n) => { if (!firstOf.has(sets[s])) firstOf.set(sets[s], n); });
const count = setOf.length;
const value = (n, of) => sets[setOf[n]][of][indexOf[n]];
const number = new Intl.NumberFormat("en").format;

// --- what is shown, and how ------------------------------------------------------------------
const SORTS = {
  order: ["as stored", (n) => n, () => ""],
  change: ["visible change", (n) => value(n, "change"), (v) => `${v.toFixed(1)} levels`],
  area: ["mask area", (n) => value(n, "area"), (v) => `${(100 * v).toFixed(v < 0.1 ? 2 : 1)} %`],
  unchanged: ["unchanged mask", (n) => value(n, "unchanged"), (v) => `${Math.round(100 * v)} %`],
};
if (gallery.run) SORTS.score = ["detector's score", (n) => value(n, "score"), (v) => v.toPrecision(4)];
const state = { dataset: "", category: "", method: "", seed: "", show: "all", sort: "order", down: "", view: "image", size: "1" };
let shown = [], active = 0, columns = 1, cell = { width: 1, height: 1 }, anchor = -1;

const read = () => {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(state)) if (given.has(key)) state[key] = given.get(key);
  for (const key of FILTERS) if (!sets.some((set) => String(set[key]) === state[key])) state[key] = "";
  if (!(state.sort in SORTS)) state.sort = "order";
  if (!Object.values(VIEWS).includes(state.view)) state.view = "image";
  if (!["all", "marked", "unmarked"].includes(state.show)) state.show = "all";
  state.size = String(Math.min(4, Math.max(0, Math.round(Number(state.size)) || 0)));
};
const keep = () => {
  const said = Object.entries(state).filter(([key, v]) => v !== "" && v !== defaults[key]);
  history.replaceState(null, "", `#${new URLSearchParams(said)}`);
};
const defaults = { ...state };

const choose = () => {
  const of = sets.map((set) => FILTERS.every((key) => !state[key] || String(set[key]) === state[key]));
  shown = [];
  for (let n = 0; n < count; n++) {
    if (of[setOf[n]] && (state.show === "all" || marks.has(n) === (state.show === "marked"))) shown.push(n);
  }
  const key = SORTS[state.sort][1], sign = state.down ? -1 : 1;
  if (state.sort !== "order" || state.down) {
    const keys = new Map(shown.map((n) => [n, key(n)]));
    shown.sort((a, b) => sign * (keys.get(a) - keys.get(b)) || a - b);
  }
  active = 0;
  anchor = -1;
  lay();
  const above = space.getBoundingClientRect().top - element("bar").getBoundingClientRect().bottom;
  if (above < 0) scrollBy(0, above - 8);
  say(`${number(shown.length)} of ${number(count)} samples`);
};

// --- the grid: only the rows on screen are there ---------------------------------------------
const grid = element("grid"), space = element("space");
const rows = new Map();
const lay = () => {
  const width = space.clientWidth, gap = 10;
  const wanted = [92, 132, 180, 250, 360][state.size];
  columns = Math.max(1, Math.floor((width + gap) / (wanted + gap)));
  cell = { width: (width + gap) / columns - gap };
  cell.picture = Math.round((cell.width * gallery.height) / gallery.width);
  cell.height = cell.picture + 26 + gap;
  const lines = Math.ceil(shown.length / columns);
  space.style.height = `${lines * cell.height}px`;
  space.style.setProperty("--columns", columns);
  space.style.setProperty("--picture", `${cell.picture}px`);
  grid.setAttribute("aria-rowcount", lines);
  grid.setAttribute("aria-colcount", Math.min(columns, shown.length));
  element("nothing").hidden = shown.length > 0;
  rows.forEach((row) => row.remove());
  rows.clear();
  draw();
};
const draw = (whole = false) => {
  const top = -space.getBoundingClientRect().top, lines = Math.ceil(shown.length / columns);
  const margin = innerHeight / 2;
  let from = Math.max(0, Math.floor((top - margin) / cell.height));
  let to = Math.min(lines, Math.ceil((top + innerHeight + margin) / cell.height));
  if (whole) [from, to] = [0, Math.min(lines, Math.ceil(PRINTED / columns))];
  for (const [r, row] of rows) if (r < from || r >= to) { row.remove(); rows.delete(r); }
  for (let r = from; r < to; r++) {
    if (rows.has(r)) continue;
    const row = make("div", "row");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", r + 1);
    row.style.top = `${r * cell.height}px`;
    for (let p = r * columns; p < Math.min(shown.length, (r + 1) * columns); p++) row.append(sample(p));
    rows.set(r, row);
    const after = [...rows.keys()].filter((k) => k > r).sort((a, b) => a - b)[0];
    space.insertBefore(row, after === undefined ? null : rows.get(after));
  }
  point();
};
const url = (path) => `url("${path.split("/").map(encodeURIComponent).join("/")}")`;
const paint = (picture, n, view) => {
  const set = sets[setOf[n]], i = indexOf[n], source = set.source[i];
  const strip = url(`${set.folder}/${i}.webp`), style = picture.style;
  const place = { image: "0 0", difference: "50% 0", mask: "100% 0" };
  const clean = view === "clean";
  style.backgroundImage = clean ? url(source < 0 ? `${set.folder}/clean-${i}.webp` : `${set.normals}/${source}.webp`)
    : view === "spotlight" ? `${strip}, ${strip}` : strip;
  style.backgroundSize = clean ? "100% 100%" : "300% 100%";
  style.backgroundPosition = clean ? "0 0" : view === "spotlight" ? "100% 0, 0 0" : place[view];
  style.backgroundBlendMode = view === "spotlight" ? "soft-light, normal" : "normal";
};
const spoken = (n) => {
  const set = sets[setOf[n]];
  const told = Object.values(SORTS).slice(1).map(([name, of, text]) => `${name} ${text(of(n))}`);
  return `${set.method}, seed ${set.seed}, sample ${indexOf[n]} of ${set.dataset} ${set.category}; ${told.join(", ")}${marks.has(n) ? "; marked" : ""}`;
};
const sample = (p) => {
  const n = shown[p], set = sets[setOf[n]], [, of, text] = SORTS[state.sort];
  const made = make("div", "sample");
  made.id = `sample-${p}`;
  made.setAttribute("role", "gridcell");
  made.setAttribute("aria-selected", marks.has(n));
  made.setAttribute("aria-label", spoken(n));
  made.dataset.place = p;
  const picture = make("span", "picture"), box = make("span", "box");
  paint(picture, n, state.view);
  box.setAttribute("aria-hidden", "true");
  const names = make("span", "names", `${set.method} ${indexOf[n]}`);
  made.append(picture, box, names, make("span", "value", text(of(n)).replace(" levels", "") || set.category));
  return made;
};
const point = () => {
  space.querySelectorAll(".active").forEach((one) => one.classList.remove("active"));
  const now = element(`sample-${active}`);
  if (now) {
    now.classList.add("active");
    grid.setAttribute("aria-activedescendant", now.id);
  } else grid.removeAttribute("aria-activedescendant");
};
const go = (to) => {
  if (!shown.length) return;
  active = Math.min(shown.length - 1, Math.max(0, to));
  const line = Math.floor(active / columns), box = space.getBoundingClientRect();
  const y = box.top + line * cell.height, bar = element("bar").getBoundingClientRect().bottom;
  if (y < bar + 8) scrollBy(0, y - bar - 8);
  else if (y + cell.height > innerHeight) scrollBy(0, y + cell.height - innerHeight);
  draw();
  if (element("detail").open) open();
};

// Keys act on a sample that is seen: scrolled away by hand, the active one stays on the screen, half of it at least.
const follow = () => {
  if (!shown.length || element("detail").open) return;
  const under = element("bar").getBoundingClientRect().bottom, above = space.getBoundingClientRect().top;
  const first = Math.max(0, Math.ceil((under - above) / cell.height - 0.5));
  const last = Math.max(first, Math.floor((innerHeight - above) / cell.height - 0.5));
  const line = Math.floor(active / columns), to = Math.min(last, Math.max(first, line));
  active = Math.min(shown.length - 1, active + (to - line) * columns);
};

// --- marks: kept in this browser, and by `asbench browse --serve` in a file --------------------
const LINE = /^(?:([0-9a-f]{12})\s+)?([^\s/]+(?:\/[^\s/]+){3})\/(\d{1,9})$/;
const marks = new Set();
let others = [], served = false;
const parse = (text) => {
  let stale = 0, wrong = 0;
  for (const line of text.split(/\r?\n/).map((one) => one.trim())) {
    if (!line || line.startsWith("#")) continue;
    const [, digest, of, index] = LINE.exec(line) || [];
    const set = byAddress.get(of);
    if (!of) wrong++;
    else if (!set) { if (!others.includes(line)) others.push(line); }
    else if (digest ? set.digest[index] === digest : index in set.digest) marks.add(firstOf.get(set) + Number(index));
    else stale++;
  }
  return [stale && `${stale} marks of samples that are no longer there left out`, wrong && `${wrong} lines are no marks`].filter(Boolean).join("; ");
};
const written = () => {
  const own = [...marks].map((n) => `${value(n, "digest")}  ${address(sets[setOf[n]])}/${indexOf[n]}`);
  const head = "# Samples left out by `asbench train --exclude` with this file: their digest and address.\n";
  return head + [...own, ...others].map((line) => `${line}\n`).join("");
};
const place = `asbench-marks ${location.pathname}`;
let sending = 0;
const store = () => {
  element("marks").textContent = `${number(marks.size)} marked`;
  element("save").disabled = element("clear").disabled = !marks.size && !others.length;
  try { localStorage.setItem(place, written()); } catch { say("This browser keeps nothing: save the marks before you leave."); }
  if (!served) return;
  clearTimeout(sending);
  sending = setTimeout(async () => {
    const answer = await fetch("excluded.txt", { method: "PUT", body: written() }).catch(() => null);
    element("kept").textContent = answer && answer.ok ? "kept in excluded.txt" : "not kept: the server does not answer; save the marks";
  }, 150);
};
const mark = (from, to = from, on = null) => {
  const wanted = on === null ? !marks.has(shown[to]) : on;
  for (let p = Math.min(from, to); p <= Math.max(from, to); p++) {
    marks[wanted ? "add" : "delete"](shown[p]);
    const there = element(`sample-${p}`);
    if (there) {
      there.setAttribute("aria-selected", wanted);
      there.setAttribute("aria-label", spoken(shown[p]));
    }
  }
  anchor = to;
  store();
  const many = Math.abs(to - from) + 1;
  say(`${many === 1 ? "sample" : `${number(many)} samples`} ${wanted ? "marked" : "unmarked"}, ${number(marks.size)} in all`);
  if (element("detail").open) open();
};
const until = (p) => mark(anchor < 0 ? p : anchor, p, true);

// --- one sample, large --------------------------------------------------------------------------
const open = () => {
  const n = shown[active], set = sets[setOf[n]], detail = element("detail");
  if (n === undefined) return;
  element("title").textContent = `${set.method} ${indexOf[n]}`;
  element("where").textContent = `${address(set)}/${indexOf[n]}, ${number(active + 1)} of ${number(shown.length)}`;
  for (const picture of detail.querySelectorAll(".picture")) paint(picture, n, picture.dataset.view);
  const facts = Object.values(SORTS).slice(1).map(([name, of, text]) => [name, text(of(n))]);
  facts.push(["normal", set.source[indexOf[n]] < 0 ? "its own" : String(set.source[indexOf[n]])], ["digest", value(n, "digest")]);
  element("facts").replaceChildren(...facts.map(([name, said]) => {
    const line = make("div");
    line.append(make("dt", "", name), make("dd", "", said));
    return line;
  }));
  element("toggle").textContent = marks.has(n) ? "Unmark (x)" : "Mark (x)";
  element("toggle").setAttribute("aria-pressed", marks.has(n));
  if (!detail.open) detail.showModal();
};

// --- controls -------------------------------------------------------------------------------------
const say = (text) => { element("status").textContent = text; };
const fill = (id, options) => {
  element(id).replaceChildren(...options.map(([key, text]) => {
    const made = make("option", "", text);
    made.value = key;
    return made;
  }));
  element(id).value = state[id];
};
const controls = () => {
  for (const key of FILTERS) {
    const names = [...new Set(sets.map((set) => String(set[key])))];
    fill(key, [["", names.length > 1 ? `all ${names.length}` : names[0]], ...(names.length > 1 ? names.map((one) => [one, one]) : [])]);
    element(key).disabled = names.length < 2;
  }
  fill("sort", Object.entries(SORTS).map(([key, [name]]) => [key, name]));
  fill("show", [["all", "all"], ["marked", "marked"], ["unmarked", "not marked"]]);
  element("down").setAttribute("aria-pressed", Boolean(state.down));
  element("down").textContent = state.down ? "largest first" : "smallest first";
  for (const radio of document.getElementsByName("view")) radio.checked = radio.value === state.view;
};
const set = (key, to) => {
  state[key] = to;
  keep();
  controls();
  if (key === "view") {
    rows.forEach((row) => [...row.children].forEach((one) => paint(one.firstChild, shown[one.dataset.place], to)));
    say(to);
  } else if (key === "size") { const at = active; lay(); go(at); }
  else choose();
};
for (const id of [...FILTERS, "sort", "show"]) element(id).addEventListener("change", (event) => set(id, event.target.value));
for (const radio of document.getElementsByName("view")) radio.addEventListener("change", () => set("view", radio.value));
element("down").addEventListener("click", () => set("down", state.down ? "" : "1"));
for (const [id, by] of [["smaller", -1], ["larger", 1]]) {
  element(id).addEventListener("click", () => set("size", String(Math.min(4, Math.max(0, Number(state.size) + by)))));
}
element("save").addEventListener("click", () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([written()], { type: "text/plain" }));
  link.download = "excluded.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
element("load").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  const told = parse(await file.text());
  event.target.value = "";
  store();
  choose();
  say(`${number(marks.size)} marked${told ? `; ${told}` : ""}`);
});
element("clear").addEventListener("click", () => {
  if (!confirm(`Forget all ${marks.size + others.length} marks?`)) return;
  marks.clear();
  others = [];
  store();
  choose();
});
for (const [id, by] of [["before", -1], ["after", 1]]) element(id).addEventListener("click", () => go(active + by));
element("toggle").addEventListener("click", () => mark(active));
for (const id of ["detail", "help"]) {
  element(id).querySelector(".close").addEventListener("click", () => element(id).close());
}
element("detail").addEventListener("close", () => grid.focus({ preventScroll: true }));
element("keys").addEventListener("click", () => element("help").showModal());
grid.addEventListener("click", (event) => {
  const at = event.target.closest(".sample");
  if (!at) return;
  const p = Number(at.dataset.place);
  active = p;
  point();
  grid.focus({ preventScroll: true });
  if (event.shiftKey) until(p);
  else if (event.target.closest(".box")) mark(p);
  else open();
});
addEventListener("keydown", (event) => {
  const inside = event.target.closest && event.target.closest("select, input, button, a, summary");
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
  const page = Math.max(1, Math.floor((innerHeight - element("bar").offsetHeight) / cell.height)) * columns;
  const large = element("detail").open, line = large ? 1 : columns;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -line, ArrowDown: line, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
  const typed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (inside && (inside.matches("select, input") || typed === "Enter" || typed === " ")) return;
  if (typed in moves) go(active + moves[typed]);
  else if (typed === "x" && event.shiftKey) until(active);
  else if (typed === "x" || typed === " ") { if (shown.length) mark(active); }
  else if (typed in VIEWS) set("view", VIEWS[typed]);
  else if (typed === "Enter") open();
  else if (typed === "+" || typed === "-") set("size", String(Math.min(4, Math.max(0, Number(state.size) + (typed === "+" ? 1 : -1)))));
  else if (typed === "?") element("help").showModal();
  else return;
  event.preventDefault();
});
let asked = 0;
addEventListener("scroll", () => { asked = asked || requestAnimationFrame(() => { asked = 0; follow(); draw(); }); }, { passive: true });
let width = 0;
new ResizeObserver(() => { if (space.clientWidth !== width) { width = space.clientWidth; lay(); } }).observe(space);
addEventListener("hashchange", () => { Object.assign(state, defaults); read(); controls(); choose(); });
addEventListener("beforeprint", () => { lay(); draw(true); });
addEventListener("afterprint", lay);
const dark = matchMedia("(prefers-color-scheme: dark)");
element("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
});

const begin = async () => {
  document.documentElement.style.setProperty("--ratio", `${gallery.width} / ${gallery.height}`);
  document.title = `Samples of ${gallery.store}`;
  element("store").textContent = gallery.store;
  const methods = new Set(sets.map((one) => one.method)).size, categories = new Set(sets.map((one) => `${one.dataset}/${one.category}`)).size;
  const many = (n, one, more) => `${number(n)} ${n === 1 ? one : more}`;
  element("about").textContent = `${many(count, "sample", "samples")} of ${many(methods, "method", "methods")} on ${many(categories, "category", "categories")}, ${gallery.stored}${gallery.run ? `; scored by ${gallery.run}` : ""}.`;
  element("gain").textContent = gallery.gain;
  let told = "";
  if (location.protocol.startsWith("http")) {
    const answer = await fetch("excluded.txt").catch(() => null);
    served = Boolean(answer && answer.ok);
    if (served) { told = parse(await answer.text()); element("kept").textContent = "kept in excluded.txt"; }
  }
  if (!served) {
    let before = "";
    try { before = localStorage.getItem(place) || ""; } catch { before = ""; }
    told = parse(before);
    element("kept").textContent = "kept in this browser";
  }
  read();
  controls();
  width = space.clientWidth;
  choose();
  const loaded = told;
  if (loaded) say(loaded);
  element("marks").textContent = `${number(marks.size)} marked`;
  element("save").disabled = element("clear").disabled = !marks.size && !others.length;
  document.documentElement.dataset.ready = "yes";
};
begin();
}
