"use strict";
// The selected options of the menus, by name. They are stored in the address, so a link shows the same view.
const menus = [...document.querySelectorAll("select")];
const state = {};
const first = Object.fromEntries(menus.map((menu) => [menu.id, menu.options[0].value]));
const figures = [...document.querySelectorAll("figure")];
const visible = new Set();
const tables = {};
const pause = () => new Promise((done) => setTimeout(done));
const idle = () => new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done));

function readAddress() {
  const wanted = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  for (const menu of menus) {
    const value = wanted.get(menu.id);
    if ([...menu.options].some((option) => option.value === value)) menu.value = value;
    state[menu.id] = menu.value;
  }
}

function writeAddress() {
  const changed = menus.filter((menu) => menu.selectedIndex > 0).map((menu) => [menu.id, menu.value]);
  history.replaceState(null, "", "#" + new URLSearchParams(changed));
}

// A table of the page, by column.
function read(name) {
  tables[name] ??= (async () => {
    const text = document.getElementById("table-" + name).text;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  })();
  return tables[name];
}

// The rows that a figure shows, with their role: a summary of the seeds shown, or a single seed.
async function select(figure) {
  const columns = await read(figure.dataset.table);
  const names = Object.keys(columns);
  const keys = figure.dataset.keys.split(" ").filter((key) => key in state && key in columns);
  const fits = (key, place) => columns[key][place] === "*" || String(columns[key][place]) === state[key];
  const others = keys.filter((key) => key !== "seed");
  const fixed = JSON.parse(figure.dataset.fixed);
  const found = [];
  for (let place = 0; place < columns[names[0]].length; place++) {
    if (!others.every((key) => fits(key, place))) continue;
    if (!fixed.every(([key, value]) => columns[key][place] === value)) continue;
    const summary = !keys.includes("seed") || fits("seed", place);
    if (!summary && !(figure.dataset.dots && state.seed === "all")) continue;
    const row = Object.fromEntries(names.map((name) => [name, columns[name][place]]));
    found.push({ ...row, role: summary ? "summary" : "seed" });
  }
  if (figure.dataset.scaled && state.scale === "above") {
    const above = (value, chance) => (value === null || chance === null ? null : value - chance);
    for (const row of found) {
      for (const key of ["mean", "seed_low", "seed_high", "low", "high", "chance_high", "chance_classes"])
        row[key] = above(row[key], row.chance);
      row.chance = row.chance === null ? null : 0;
    }
  }
  return found;
}

// The libraries are compiled when the first chart comes into view, not before the page is shown.
async function library() {
  if (!window.vegaEmbed) {
    const script = document.createElement("script");
    script.text = "(() => {" + document.getElementById("libraries").text + "})()";
    document.head.append(script);
    await pause();
  }
  return window.vegaEmbed;
}

// What a figure shows with these menus.
function view(figure, menus) {
  return JSON.stringify(figure.dataset.keys.split(" ").concat("scale").map((key) => menus[key]));
}

async function draw(figure) {
  // What a menu selects while a table is unpacked counts for this drawing.
  await read(figure.dataset.table);
  const wanted = view(figure, state);
  if (figure.dataset.shown === wanted) return;
  figure.dataset.shown = wanted;
  const rows = await select(figure);
  const lower = Math.min(0, ...rows.flatMap((row) => [row.low ?? 0, row.seed_low ?? row.mean ?? 0]));
  const titles = JSON.parse(figure.dataset.titles);
  const heading = figure.querySelector("h3"), before = heading.textContent;
  figure.firstTitle ??= before;
  heading.textContent = titles[state.measure] ?? figure.firstTitle;
  // Firefox before version 119 has no properties for ARIA attributes.
  for (const box of figure.querySelectorAll(".chart"))
    box.setAttribute("aria-label", box.getAttribute("aria-label").replace(before, () => heading.textContent));
  figure.views ??= [];
  const signals = figure.dataset.scaled
    ? {
        lower: Math.floor(lower * 20) / 20,
        similarity_title: state.scale === "above" ? "similarity above chance" : "similarity",
      }
    : {};
  for (const [place, box] of figure.querySelectorAll(".chart").entries()) {
    const view = figure.views[place];
    if (view) {
      for (const [name, value] of Object.entries(signals)) view.signal(name, value);
      await view.data("rows", rows).runAsync();
    } else {
      const spec = JSON.parse(figure.querySelector("script").text);
      const values = { ...signals, ...(box.dataset.members && { members: JSON.parse(box.dataset.members) }) };
      for (const signal of spec.signals) if (signal.name in values) signal.value = values[signal.name];
      spec.data.find((data) => data.name === "rows").values = rows;
      const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const options = { mode: "vega", renderer: "svg", actions: false, tooltip: { theme } };
      // The box has a description, and a table of the values follows below.
      const inside = document.createElement("div");
      inside.setAttribute("aria-hidden", "true");
      // The image is shown until the chart is ready.
      inside.style = "height: 0; overflow: hidden";
      box.append(inside);
      figure.views[place] = (await (await library())(inside, spec, options)).view;
      inside.style = "";
      box.replaceChildren(inside);
    }
    await pause();
  }
  if (figure.querySelector("details.data").open) fill(figure, rows);
}

function fill(figure, rows) {
  const skip = new Set(["role", ...figure.dataset.keys.split(" ").filter((key) => key === "measure" || key === "metric")]);
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
      const value = one[name];
      cell.textContent = value === null ? "×" : typeof value === "number" ? Number(value.toPrecision(5)) : value;
      if (typeof value === "number") cell.className = "number";
    }
  }
  table.dataset.shown = JSON.stringify(state);
  figure.querySelector(".data .scroll").replaceChildren(table);
}

// Charts are drawn one after the other, so that the page is complete when it is marked as ready.
let work = Promise.resolve(), turn = 0;
function refresh() {
  const own = ++turn;
  // A chart that fails must not keep others from being drawn.
  work = work.catch(() => {}).then(async () => {
    for (const figure of figures) if (visible.has(figure)) await draw(figure);
    document.body.dataset.ready = JSON.stringify(state);
    // A print shows all charts. Images show the first options; charts out of view follow the menus in idle time.
    for (const figure of figures) {
      if ((figure.dataset.shown ?? view(figure, first)) === view(figure, state)) continue;
      await idle();
      if (own !== turn) return;
      await draw(figure);
    }
  });
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
}

const LIGHT = { "--ink": "#1b1b1b", "--soft": "#5c5c5c", "--grid": "#e4e4e4", "--paper": "#ffffff" };
async function saveImages(figure) {
  work = work.catch(() => {}).then(() => draw(figure));
  await work;
  const hatch = document.getElementById("hatch").outerHTML;
  for (const [place, view] of figure.views.entries()) {
    const text = (await view.toSVG())
      .replace(/var\((--[a-z]+)\)/g, (_, name) => LIGHT[name])
      .replace(/<svg[^>]*>/, (start) => start + "<defs>" + hatch + "</defs>");
    save(figure.dataset.name + (figure.views.length > 1 ? "-" + (place + 1) : "") + ".svg", "image/svg+xml", text);
  }
}

async function saveTable(figure) {
  const rows = await select(figure);
  const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "role");
  const quote = (value) => (/[",\n]/.test(value ?? "") ? `"${value.replaceAll('"', '""')}"` : value ?? "");
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  save(figure.dataset.name + ".csv", "text/csv", lines.map((line) => line.map(quote).join(",") + "\n").join(""));
}

readAddress();
for (const menu of menus)
  menu.addEventListener("change", () => {
    state[menu.id] = menu.value;
    writeAddress();
    refresh();
  });
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
for (const figure of figures) {
  const data = figure.querySelector("details.data");
  data.hidden = false;
  data.addEventListener("toggle", async () => data.open && fill(figure, await select(figure)));
  figure.querySelector("[data-save=csv]").onclick = () => saveTable(figure);
  figure.querySelector("[data-save=svg]").onclick = () => saveImages(figure);
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
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
