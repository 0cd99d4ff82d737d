"use strict";
// What the page shows: the value of each menu, of the slider, and a theme if one was chosen. It is in the address,
// after the section: a link such as `#rounds-section?measure=cka` leads to the same view and section.
const root = document.documentElement;
const figures = [...document.querySelectorAll("figure")];
const settings = new Map(figures.map((figure) => [figure, JSON.parse(figure.querySelector("script").text)]));
const state = {}, first = {}, unpacked = {}, columns = {};
const visible = new Set();
let lit = "";
const pause = () => new Promise((done) => setTimeout(done));
// Chromium may forget an idle callback while nothing on the page moves, unless it has a timeout.
const idle = () => new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done, { timeout: 1000 }));
const words = (text) => text.split(" ").filter(Boolean);
const keysOf = (figure) => words(figure.dataset.keys);

// --- what is selected ------------------------------------------------------------------------------------

const controls = [...document.querySelectorAll("select, input[type=range]")].map((element) => {
  const pairs = element.options
    ? [...element.options].map((one) => [one.value, one.text])
    : JSON.parse(element.dataset.options);
  const values = pairs.map(([value]) => value);
  return {
    element,
    name: element.id,
    values,
    texts: new Map(pairs),
    get: () => (element.options ? element.value : values[+element.value]),
    set: (value) => (element.value = element.options ? value : values.indexOf(value)),
  };
});
for (const one of controls) first[one.name] = one.get();

function section() {
  return location.hash.slice(1).split("?")[0];
}

function readAddress() {
  const [, query = ""] = location.hash.split("?");
  const wanted = new URLSearchParams(query);
  for (const { name, values } of controls) state[name] = values.includes(wanted.get(name)) ? wanted.get(name) : first[name];
  const theme = wanted.get("theme");
  if (theme === "dark" || theme === "light") state.theme = theme;
  else delete state.theme;
  show();
}

function writeAddress() {
  const changed = Object.entries(state).filter(([name, value]) => value !== first[name]);
  const query = changed.length ? "?" + new URLSearchParams(changed) : "";
  history.replaceState(null, "", "#" + section() + query);
}

// Everything but the charts follows the state at once.
function show() {
  for (const { element, name, texts, set } of controls) {
    set(state[name]);
    if (element.options) continue;
    element.setAttribute("aria-valuetext", texts.get(state[name]));
    document.querySelector(`output[for="${name}"]`).textContent = texts.get(state[name]);
    for (const part of document.querySelectorAll("[data-round]")) part.hidden = part.dataset.round !== state[name];
  }
  if (state.theme) root.dataset.theme = state.theme;
  else delete root.dataset.theme;
}

// --- rows ----------------------------------------------------------------------------------------------------

// The text of a compressed part of the page.
async function unzip(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// A table of the page, by column; afterwards it is in `columns`.
function read(name) {
  unpacked[name] ??= unzip("table-" + name).then((text) => (columns[name] = JSON.parse(text)));
  return unpacked[name];
}

// The rows that a figure shows, with their role: a summary of the seeds shown, or a single seed.
function select(figure) {
  const table = columns[figure.dataset.table];
  const names = Object.keys(table);
  const keys = keysOf(figure).filter((key) => key in state && key in table);
  const fits = (key, place) => table[key][place] === "*" || String(table[key][place]) === state[key];
  const others = keys.filter((key) => key !== "seed");
  const { fixed } = settings.get(figure);
  const found = [];
  for (let place = 0; place < table[names[0]].length; place++) {
    if (!others.every((key) => fits(key, place))) continue;
    if (!fixed.every(([key, value]) => table[key][place] === value)) continue;
    const summary = !keys.includes("seed") || fits("seed", place);
    if (!summary && !(figure.dataset.dots && state.seed === "all")) continue;
    const row = Object.fromEntries(names.map((name) => [name, table[name][place]]));
    found.push({ ...row, role: summary ? "summary" : "seed" });
  }
  return found;
}

// A number that would mislead is ×, a number that was not asked for is –.
function cellText(row, name) {
  const value = row[name];
  if (value === null) return row.warned === "missing" && ["mean", "seed_low", "seed_high"].includes(name) ? "×" : "–";
  return typeof value === "number" ? String(Number(value.toPrecision(5))) : value;
}

function fill(figure, rows) {
  const skip = new Set(["role", ...keysOf(figure).filter((key) => key === "measure" || key === "metric")]);
  const names = Object.keys(rows[0] ?? {}).filter((name) => !skip.has(name));
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const name of names) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const one of rows) {
    const row = body.insertRow();
    for (const name of names) {
      const cell = row.insertCell();
      cell.textContent = cellText(one, name);
      if (typeof one[name] === "number") cell.className = "number";
    }
  }
  table.dataset.shown = JSON.stringify(state);
  figure.querySelector(".data .scroll").replaceChildren(table);
}

// --- drawing -------------------------------------------------------------------------------------------------

// The libraries are compiled when the first chart comes into view, not before the page is shown.
async function library() {
  if (!window.vegaEmbed) {
    const script = document.createElement("script");
    script.text = "(() => {" + (await unzip("libraries")) + "})()";
    document.head.append(script);
    await pause();
  }
  return window.vegaEmbed;
}

// What the menus select for a figure.
function selection(figure, menus) {
  return keysOf(figure).map((key) => menus[key]).join("|");
}

// What a figure shows in a state, the signal `round` included.
function shownIn(figure, menus) {
  return selection(figure, menus) + (words(figure.dataset.signals).includes("round") ? "|" + menus.round : "");
}

// Values of the signals that the page sets in the charts that have them.
function signals(figure) {
  const values = { round: Number(state.round), lit };
  return words(figure.dataset.signals).map((name) => [name, values[name]]);
}

function title(figure) {
  const heading = figure.querySelector("h3"), { titles } = settings.get(figure);
  if (!heading) return;
  const before = heading.textContent;
  figure.firstTitle ??= before;
  heading.textContent = titles[selection(figure, state)] ?? figure.firstTitle;
  // Firefox before version 119 has no properties for ARIA attributes.
  for (const box of figure.querySelectorAll(".chart"))
    box.setAttribute("aria-label", box.getAttribute("aria-label").replace(before, () => heading.textContent));
}

async function draw(figure) {
  // What a menu selects while a table is unpacked counts for this drawing.
  await read(figure.dataset.table);
  const wanted = shownIn(figure, state);
  if (figure.dataset.shown === wanted) return;
  figure.dataset.shown = wanted;
  const rows = select(figure);
  title(figure);
  figure.views ??= [];
  for (const [place, box] of figure.querySelectorAll(".chart").entries()) {
    const view = figure.views[place];
    if (view) {
      for (const [name, value] of signals(figure)) view.signal(name, value);
      await view.data("rows", rows).runAsync();
    } else {
      const spec = structuredClone(settings.get(figure).spec);
      const values = Object.fromEntries(signals(figure));
      if (box.dataset.members) values.members = JSON.parse(box.dataset.members);
      for (const signal of spec.signals) if (signal.name in values) signal.value = values[signal.name];
      spec.data.find((data) => data.name === "rows").values = rows;
      // With `ast`, expressions are interpreted: no code is made from text, which the content policy forbids.
      const tooltip = { disableDefaultStyle: true };
      // Marks without rows, such as those of a layer that is not pointed at, are no reason for a warning: level 1 is errors.
      const options = { mode: "vega", renderer: "svg", actions: false, defaultStyle: false, ast: true, logLevel: 1, tooltip };
      // The box has a description, and a table of the values follows below.
      const inside = document.createElement("div");
      inside.setAttribute("aria-hidden", "true");
      // The image is shown until the chart is ready.
      inside.style = "height: 0; overflow: hidden";
      box.append(inside);
      const drawn = (await (await library())(inside, spec, options)).view;
      figure.views[place] = drawn;
      inside.style = "";
      box.replaceChildren(inside);
      drawn.addEventListener("mouseover", (_, item) => light(item?.datum?.layer));
      drawn.addEventListener("mouseout", () => light(""));
    }
    await pause();
  }
  if (figure.querySelector("details.data").open) fill(figure, rows);
}

// Charts are drawn one after the other, so that the page is complete when it is marked as ready.
let work = Promise.resolve(), turn = 0;
function next(step) {
  // A chart that fails must not keep others from being drawn.
  return (work = work.catch(() => {}).then(step));
}

async function refresh() {
  const own = ++turn;
  await next(async () => {
    for (const figure of figures) if (visible.has(figure)) await draw(figure);
    mark();
    document.body.dataset.ready = JSON.stringify(state);
  });
  // A print shows all charts and tables. Images show the first options; charts out of view follow the menus in
  // idle time, when tables are unpacked as well. What a menu selects meanwhile is drawn before them.
  for (const figure of figures) {
    await idle();
    if (own !== turn) return;
    await next(async () => {
      if ((figure.dataset.shown ?? shownIn(figure, first)) === shownIn(figure, state)) await read(figure.dataset.table);
      else await draw(figure);
    });
  }
  if (own === turn) document.body.dataset.complete = JSON.stringify(state);
}

// A layer that is pointed at, or has the focus in a table, is marked in every chart and table.
let lighting = 0;
function light(layer) {
  lit = layer ?? "";
  cancelAnimationFrame(lighting);
  lighting = requestAnimationFrame(mark);
}

function mark() {
  for (const row of document.querySelectorAll("[data-layer]")) row.classList.toggle("lit", row.dataset.layer === lit);
  for (const figure of visible)
    for (const view of words(figure.dataset.signals).includes("lit") ? figure.views ?? [] : [])
      if (view.signal("lit") !== lit) view.signal("lit", lit).runAsync();
}

// --- files ---------------------------------------------------------------------------------------------------

function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
}

// Experiment, level, chart, and what the menus select for it: `digits-lenet_representations_profile_measure-cca`.
function fileName(figure, suffix) {
  const parts = [document.querySelector("h1").textContent, figure.dataset.level, figure.dataset.name];
  for (const key of new Set([...keysOf(figure), ...words(figure.dataset.signals)]))
    if (key in state) parts.push(`${key}-${state[key]}`);
  return parts.join("_").replace(/[^\w.-]+/g, "-") + "." + suffix;
}

// One image of all drawings of a figure, side by side as on the page, in the colours of the light theme.
async function image(figure) {
  await next(() => draw(figure));
  const parts = [];
  for (const [place, view] of figure.views.entries()) {
    const text = await view.toSVG();
    const [, width, height] = text.match(/<svg[^>]* width="([\d.]+)" height="([\d.]+)"/).map(Number);
    const heading = figure.querySelectorAll("h4")[place]?.textContent;
    parts.push({ text, width, height, heading });
  }
  const across = Math.min(parts.length, 4), gap = 16, top = parts[0].heading ? 22 : 0;
  const width = Math.max(...parts.map((one) => one.width)) + gap, height = Math.max(...parts.map((one) => one.height)) + top;
  const escape = (text) => text.replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
  const placed = parts.map(({ text, heading }, place) => {
    const x = (place % across) * width, y = Math.floor(place / across) * height;
    const label = heading ? `<text x="${x + 4}" y="${y + 14}" font-family="sans-serif" font-size="13" font-weight="bold">${escape(heading)}</text>` : "";
    return label + text.replace("<svg", `<svg x="${x}" y="${y + top}"`);
  });
  const whole = [across * width - gap, Math.ceil(parts.length / across) * height];
  const light = [...document.styleSheets[0].cssRules].find((rule) => rule.selectorText === ":root").style;
  const heading = figure.querySelector("h3")?.textContent ?? figure.querySelector(".chart").getAttribute("aria-label");
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${whole[0]}" height="${whole[1]}" viewBox="0 0 ${whole.join(" ")}"><title>${escape(heading)}</title>${placed.join("")}</svg>`;
  return { svg: svg.replace(/var\((--[a-z-]+)\)/g, (_, name) => light.getPropertyValue(name).trim()), size: whole };
}

async function savePNG(figure) {
  const { svg, size } = await image(figure);
  const picture = new Image();
  picture.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  await picture.decode();
  const canvas = document.createElement("canvas");
  const scale = 3;
  [canvas.width, canvas.height] = size.map((length) => scale * length);
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  save(fileName(figure, "png"), "image/png", await new Promise((done) => canvas.toBlob(done)));
}

async function saveCSV(figure) {
  await read(figure.dataset.table);
  const rows = select(figure);
  const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "role");
  const quote = (value) => (/[",\n]/.test(value ?? "") ? `"${value.replaceAll('"', '""')}"` : value ?? "");
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  save(fileName(figure, "csv"), "text/csv", lines.map((line) => line.map(quote).join(",") + "\n").join(""));
}

const SAVE = {
  csv: saveCSV,
  svg: async (figure) => save(fileName(figure, "svg"), "image/svg+xml", (await image(figure)).svg),
  png: savePNG,
};

// --- start ---------------------------------------------------------------------------------------------------

// Without JavaScript, what needs it is not shown.
for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;
readAddress();
if (location.hash.includes("?")) document.getElementById(section())?.scrollIntoView();
for (const { element, name, get } of controls)
  element.addEventListener(element.options ? "change" : "input", () => {
    state[name] = get();
    show();
    writeAddress();
    refresh();
  });
document.getElementById("theme").addEventListener("click", () => {
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  state.theme = dark ? "light" : "dark";
  show();
  writeAddress();
});
addEventListener("hashchange", () => {
  // A link to a section keeps the view; the address of another view changes it.
  if (location.hash.includes("?")) readAddress();
  writeAddress();
  refresh();
});
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
for (const row of document.querySelectorAll("[data-layer]")) {
  for (const event of ["mouseenter", "focus"]) row.addEventListener(event, () => light(row.dataset.layer));
  for (const event of ["mouseleave", "blur"]) row.addEventListener(event, () => light(""));
}
for (const figure of figures) {
  const data = figure.querySelector("details.data");
  data.addEventListener("toggle", async () => {
    if (!data.open) return;
    await read(figure.dataset.table);
    fill(figure, select(figure));
  });
  for (const button of figure.querySelectorAll("[data-save]"))
    button.addEventListener("click", () => SAVE[button.dataset.save](figure));
}
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? visible.add(target) : visible.delete(target);
    refresh();
  },
  { rootMargin: "150px" },
);
// The first screen is painted before anything is drawn again.
requestAnimationFrame(() => setTimeout(() => figures.forEach((figure) => watcher.observe(figure))));
addEventListener("beforeprint", () => {
  // The tables hold one row for each mark; single seeds are in the files.
  for (const figure of figures)
    if (figure.dataset.table in columns) fill(figure, select(figure).filter((row) => row.role === "summary"));
  for (const one of document.querySelectorAll("details")) one.open = true;
});
