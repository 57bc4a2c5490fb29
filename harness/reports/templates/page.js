"use strict";
// The behaviour of the page. A trial has a key. A scatter trace of trials has their keys in
// `customdata`, a heat map whose rows are trials has them in `meta.rows`, and points that a figure
// does not draw are in `layout.meta.hidden`. With these the page finds a selected trial in every
// plot and draws it again on top, in its colour. A figure with `layout.meta.legend` names them.

const root = document.documentElement, colours = new Map();  // selected key -> colour, in the order of selection
let pageData, plots = [], rows, heads, names, pickable;  // of the content that is shown; see `connect`
const keysOf = row => row.dataset.key.split(" ").slice(0, pageData.colours.length);
const harness = window.harness = {drawn: false};  // for the tests

// --- selecting

// Select all of these trials, or deselect them if all are selected.
function toggle(...trials) {
  const keys = trials.map(String).filter(key => key in pageData.trials), allSelected = keys.every(key => colours.has(key));
  if (!keys.length) return;
  isDefaultSelection = false;
  for (const key of keys) colours.delete(key);
  if (!allSelected) keys.forEach(add);
  show();
}

let isDefaultSelection = true;
// Select the best trials, until the reader has selected others.
function selectPresent() {
  if (!isDefaultSelection) return;
  colours.clear();
  pageData.selected.forEach((key, index) => colours.set(String(key), pageData.colours[index]));
}

function add(key) {
  if (colours.size === pageData.colours.length) colours.delete(colours.keys().next().value);
  const used = new Set(colours.values());
  colours.set(key, pageData.colours.find(colour => !used.has(colour)));
}

function show() {
  for (const row of pickable) {
    const keys = keysOf(row), colour = keys.every(key => colours.has(key)) && colours.get(keys[0]);
    row.classList.toggle("selected", Boolean(colour));
    row.setAttribute("aria-selected", Boolean(colour));
    row.style.setProperty("--colour", colour || "");
  }
  const list = document.getElementById("selected");
  list.replaceChildren(...[...colours].map(([key, colour]) => {
    const button = document.createElement("button");
    button.type = "button";
    const [name, ...rest] = pageData.trials[key].split(" · "), details = document.createElement("span");
    details.textContent = rest.length ? " · " + rest.join(" · ") : "";
    const label = document.createElement("b");  // shortened if long; the cross stays visible
    label.append(name, details);
    button.append(label, "×");
    button.title = `deselect trial ${pageData.trials[key]}`;
    button.style.setProperty("--colour", colour);
    button.onclick = () => toggle(key);
    return button;
  }));
  const bar = document.getElementById("selection");
  bar.hidden = colours.size === 0;
  bar.classList.toggle("default", isDefaultSelection);
  harness.selected = [...colours.keys()];
  return draw().then(() => { harness.highlightedAt = performance.now(); });
}

// --- drawing

// Where a plot shows each trial: key -> [{trace, points, indices}, ...].
function findPlaces(plot) {
  const places = new Map();
  const add = (keys, trace, points) => keys.forEach((key, index) => {
    if (key === null || key === undefined) return;
    const keyPlaces = places.get(String(key)) || [];
    places.set(String(key), keyPlaces);
    const last = keyPlaces[keyPlaces.length - 1];
    if (last && last.points === points) last.indices.push(index);
    else keyPlaces.push({trace, points, indices: [index]});
  });
  plot.data.forEach(trace => {
    if (trace.type === "scatter" && Array.isArray(trace.customdata)) add(trace.customdata, trace, trace);
    if (trace.meta && trace.meta.rows) add(trace.meta.rows, trace, null);
  });
  for (const hidden of (plot.layout.meta || {}).hidden || []) add(hidden.customdata, plot.data[hidden.trace], hidden);
  return places;
}

function overlay({trace, points, indices}, key, colour, legend) {
  const ink = style("--ink"), common = {type: "scatter", showlegend: legend !== undefined, name: (legend || "") + pageData.trials[key].split(" · ")[0], meta: {selected: key}, hovertemplate: trace.hovertemplate};
  if (trace.type === "heatmap") {
    const y = trace.y[indices[0]], right = trace.x.length - .54;  // a frame around the row, inside of its neighbours'
    return {...common, x: [-.46, right, right, -.46, -.46], y: [y - .4, y - .4, y + .4, y + .4, y - .4], mode: "lines", line: {color: colour, width: 2.5}, hoverinfo: "skip", hovertemplate: null};
  }
  const x = [], y = [], text = [], customdata = [];
  indices.forEach((index, place) => {
    if (place && index !== indices[place - 1] + 1) { x.push(null); y.push(null); text.push(null); customdata.push(null); }
    x.push(points.x[index]); y.push(points.y[index]); customdata.push(key);
    const texts = Array.isArray(points.text) ? points.text : Array.isArray(trace.text) && points === trace ? trace.text : null;
    text.push(texts ? texts[index] : null);
  });
  const lines = (trace.mode || "").includes("lines") && x.length > 1, symbol = (trace.marker || {}).symbol;
  const isOutline = /-open|^line-/.test(symbol);  // such a symbol has only its line's colour
  return {...common, x, y, text, customdata, mode: lines ? "lines" : "markers",
    line: {color: colour, width: Math.max(2.5, (trace.line || {}).width || 0), shape: (trace.line || {}).shape},
    marker: {color: colour, size: isOutline ? 13 : 11, symbol: symbol && symbol !== "x-thin" ? symbol : "circle", line: {color: isOutline ? colour : ink, width: isOutline ? 2.5 : 1.5}}};
}

function style(name) { return getComputedStyle(root).getPropertyValue(name).trim(); }

function applyTheme(layout) {
  const ink = style("--soft"), grid = style("--grid");
  const result = {uirevision: "kept", ...layout, font: {...layout.font, color: ink}, dragmode: matchMedia("(pointer: coarse)").matches ? false : (layout.meta || {}).brush ? "select" : "zoom",
    hoverlabel: {bgcolor: style("--tint"), bordercolor: grid, font: {color: style("--ink")}}};
  for (const name of Object.keys(result)) if (/^[xy]axis/.test(name)) result[name] = {...result[name], gridcolor: grid, zerolinecolor: grid};
  return result;
}

// Extend the y axis so that it contains the selected trials.
function extendAxis(layout, selected) {
  const range = (layout.yaxis || {}).range;
  const values = selected.filter(trace => trace.mode === "markers").flatMap(trace => trace.y).filter(Number.isFinite);
  if (!range || !values.length) return layout;
  const low = Math.min(...range), high = Math.max(...range);
  const margin = .05 * (Math.max(high, ...values) - Math.min(low, ...values));
  const least = Math.min(low, ...values.map(y => y - margin)), most = Math.max(high, ...values.map(y => y + margin));
  const newRange = values.every(y => low <= y && y <= high) ? range : range[0] < range[1] ? [least, most] : [most, least];
  return {...layout, yaxis: {...layout.yaxis, range: newRange}};
}

function logAxis(plot, layout) {
  if (!plot.isLog) return layout;
  const range = (layout.yaxis || {}).range, isPositive = range && Math.min(...range) > 0;
  return {...layout, yaxis: {...layout.yaxis, type: "log", range: isPositive ? range.map(Math.log10) : null, autorange: !isPositive, uirevision: "log"}};
}

// Name selected trials in their colour where the rows of a plot are trials.
function colourRows(layout) {
  const {rows: keys} = layout.meta || {};
  if (!keys) return layout;
  const ticktext = layout.yaxis.ticktext.map((text, row) => colours.has(String(keys[row])) ? `<b style="color: ${colours.get(String(keys[row]))}">${text}</b>` : text);
  return {...layout, yaxis: {...layout.yaxis, ticktext}};
}

// Shorter names of the rows, so that a plot of many columns fits a phone.
function shortenRows(plot, layout) {
  const {narrow} = layout.meta || {};
  return narrow && plot.element.clientWidth < 600 ? {...layout, yaxis: {...layout.yaxis, ticktext: narrow}} : layout;
}

// The first section's plots fill the space beside the key figures on a wide screen.
function fitHeight(plot, layout) {
  const isWide = plot.element.closest("#verdict") && matchMedia("(min-width: 1200px)").matches;
  return isWide ? {...layout, height: Math.max(400, layout.height)} : layout;
}

// A legend of several lines takes its height from the plot below it: give it back.
function addLegendHeight(plot, layout, traces) {
  const names = layout.showlegend ? [...new Set(traces.filter(trace => trace.showlegend !== false && trace.name).map(trace => trace.name))] : [];
  const columns = Math.floor((plot.element.clientWidth - 100) / (45 + 6.5 * Math.max(0, ...names.map(name => name.length)))), lines = Math.ceil(names.length / Math.max(1, columns));
  return lines > 1 ? {...layout, height: layout.height + 19 * (lines - 1)} : layout;
}

async function drawOne(plot) {
  plot.places = plot.places || findPlaces(plot);
  plot.isStale = false;
  const {legend} = plot.layout.meta || {}, brushed = isBrushed(plot);
  const selected = [...colours].flatMap(([key, colour]) => (plot.places.get(key) || []).map((place, index) => overlay(place, key, colour, index ? undefined : legend)));
  const themedData = (brushed ? brushTraces(plot) : plot.data).map(trace => trace.texttemplate ? {...trace, textfont: {...trace.textfont, color: style("--ink")}} : trace);
  const traces = [...themedData, ...selected], layout = addLegendHeight(plot, fitHeight(plot, colourRows(shortenRows(plot, logAxis(plot, extendAxis(plot.layout, selected))))), traces);
  await Plotly.react(plot.element, traces, applyTheme(plot.brushes ? brushLayout(plot, layout) : layout), {responsive: true, displaylogo: false, displayModeBar: false});
  if (plot.isDrawn) return;
  plot.isDrawn = true;
  plot.element.on("plotly_click", event => {
    const point = event.points[0], lines = point.data.meta && point.data.meta.rows;
    const key = lines ? lines[point.pointIndex ? point.pointIndex[0] : point.pointNumber[0]] : point.customdata;
    if (key !== undefined && key !== null && !Array.isArray(key)) toggle(key);
  });
  addPlotDownloads(plot);
  if ((plot.layout.meta || {}).brush) addBrushing(plot);
}

// Draw the plots in the window first; a newer call replaces an older one. While the study runs, the
// plots far from the window wait until they come near it.
let latest = 0;
async function draw() {
  const current = ++latest, isRunning = Boolean(root.dataset.interval);
  for (const plot of plots) plot.isStale = true;
  for (const [plot, distance] of plots.map(plot => [plot, measureDistance(plot)]).sort(([, a], [, b]) => a - b)) {
    if (current !== latest) return;
    if (distance > 0) endLoading();
    if (isRunning && distance > innerHeight) break;
    if (plot.isStale) await tryToDraw(plot);
    await new Promise(resolve => setTimeout(resolve));  // so that the page stays responsive
  }
  endLoading();
}

async function tryToDraw(plot) {
  try { await drawOne(plot); } catch (error) { console.error(plot.name, error); }
}

// Return how far a plot is from the window, in px: 0 for a visible plot.
function measureDistance({element}) {
  const {top, bottom, height} = element.closest("figure").getBoundingClientRect();
  return height ? Math.max(0, top - innerHeight, -bottom) : Infinity;
}

// Show all rows of the leaderboard once the first screen is drawn: many rows take long to lay out.
function endLoading() {
  if (!("loading" in root.dataset)) return;
  harness.firstScreenAt = performance.now();
  delete root.dataset.loading;
}

// --- light and dark, on screen and on paper

function setTheme(theme) { root.dataset.theme = theme; }
const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => { setTheme(dark.matches ? "dark" : "light"); draw(); });
document.getElementById("theme").onclick = () => { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); draw(); };

addEventListener("beforeprint", () => {
  harness.screenTheme = root.dataset.theme;
  setTheme("light");
  document.body.style.width = "680px";  // the width of the paper; plots do not shrink by themselves
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const plot of plots) if (plot.isDrawn) Plotly.relayout(plot.element, {...applyTheme({}), width: 680});
});
addEventListener("afterprint", () => {
  setTheme(harness.screenTheme);
  document.body.style.width = "";
  draw().then(() => dispatchEvent(new Event("resize")));  // so that Plotly measures its width again
});

// --- the axes of the learning curves; the buttons are in the last section that has some

const chosen = {};  // the option of each switch that the reader has pressed
function addCurveSwitches() {
  const curves = plots.filter(plot => (plot.layout.meta || {}).axes), losses = curves.filter(plot => plot.layout.meta.log);
  if (!curves.length) return;
  const bar = document.createElement("p"), axes = curves[0].layout.meta.axes;
  bar.className = "tools axes";
  addSwitch(bar, "x axis", axes, "axis", axis => curves.forEach(plot => setAxis(plot, axis, axes[axis])));
  if (losses.length) addSwitch(bar, "losses", {linear: "linear", log: "log"}, "scale", scale => losses.forEach(plot => { plot.isLog = scale === "log"; }));
  curves.at(-1).element.closest(".plots").before(bar);
}

function addSwitch(bar, title, options, name, set) {
  const group = document.createElement("span");
  group.append(title);
  for (const [option, text] of Object.entries(options)) {
    addButtons(group, [text, "", event => { chosen[name] = option; set(option); press(group, event.currentTarget); draw(); }]);
    group.lastChild.dataset[name] = option;
  }
  if (chosen[name]) set(chosen[name]);
  press(group, group.querySelector(chosen[name] ? `[data-${name}=${chosen[name]}]` : "button"));
  bar.append(group);
}

function press(bar, pressed) {
  for (const button of bar.querySelectorAll("button")) button.setAttribute("aria-pressed", button === pressed);
}

function setAxis(plot, axis, title) {
  for (const trace of plot.data) {
    if (!trace.meta) continue;
    trace.meta.defaultX = trace.meta.defaultX || trace.x;
    trace.x = trace.meta[axis] || trace.meta.defaultX;
  }
  plot.epochTick = plot.epochTick || plot.layout.xaxis.dtick;  // one tick for each epoch is too many for seconds
  plot.layout = {...plot.layout, xaxis: {...plot.layout.xaxis, title: {text: title}, dtick: axis === "epoch" ? plot.epochTick : null, autorange: true, uirevision: axis}};
}

// --- the tables

document.addEventListener("click", event => {
  const row = event.target.closest("tr[data-key]");
  if (row && !String(getSelection())) toggle(...keysOf(row));
});
document.addEventListener("keydown", event => {
  if (!event.target.matches("tr[data-key]")) return;
  const row = event.target, next = {ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling"}[event.key];
  if (event.key === "Enter" || event.key === " ") toggle(...keysOf(row));
  else if (next) step(row, next);
  else return;
  event.preventDefault();
});

function step(row, next) {  // skip rows that the filter hides
  let target = row[next];
  while (target && target.hidden) target = target[next];
  if (target) target.focus();
}

function value(row, column) {
  const cell = row.cells[column], text = (cell.dataset.value ?? cell.textContent).trim();
  return text === "" ? null : isNaN(text) ? text : Number(text);
}

let order = null;  // the column that the reader has sorted by: {name, down}
function sort(column) {
  const head = heads[column], sorted = head.getAttribute("aria-sort");
  const down = sorted ? sorted === "ascending" : ["val_accuracy", "val_r2"].includes(names[column]);  // the best first
  order = {name: names[column], down};
  applyOrder();
}

function applyOrder() {
  const column = order ? names.indexOf(order.name) : -1;
  if (column < 0) return;
  heads.forEach(each => each.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", order.down ? "descending" : "ascending");
  const keyed = rows.map(row => [value(row, column), row]);
  keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)
    : (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))) * (order.down ? -1 : 1));
  document.querySelector("#leaderboard tbody").append(...keyed.map(([, row]) => row));
}

// All words must occur in the row. `name<number`, `name>number` and `name=text` test one column,
// whose name may be shortened: `val_acc>0.9`.
function columnOf(name) {
  const first = names.findIndex(each => each.startsWith(name));
  return first < 0 ? names.findIndex(each => each.includes(name)) : first;
}

function matches(row, terms) {
  return terms.every(term => {
    const [, name, sign, operand] = term.match(/^([a-z0-9_]+)(<=|>=|<|>|=)(.+)$/) || [];
    if (!name) return row.textContent.toLowerCase().includes(term);
    const column = columnOf(name);
    if (column < 0) return false;
    const cell = value(row, column), number = Number(operand);
    if (cell === null) return false;
    if (sign === "=") return row.cells[column].textContent.toLowerCase() === operand || cell === number;
    return {"<": cell < number, ">": cell > number, "<=": cell <= number, ">=": cell >= number}[sign];
  });
}
let filterText = "";
function applyFilter() {
  const text = filterText.toLowerCase().replace(/\s*(<=|>=|<|>|=)\s*/g, "$1");
  const terms = names.reduce((text, name) => text.replaceAll(name.replaceAll("_", " "), name), text).split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) { row.hidden = !matches(row, terms); count += !row.hidden; }
  const columns = terms.map(term => (term.match(/^([a-z0-9_]+)[<>=]/) || [])[1]).filter(Boolean);
  const unknown = columns.filter(name => columnOf(name) < 0).map(name => `, no column ${name}`);
  document.getElementById("shown").textContent = `${count} of ${rows.length}${unknown.join("")}`;
}

// --- the contents follow the scroll; a folded plot gets its width when it is shown

let links = new Map();
function currentSection() {
  const sections = [...document.querySelectorAll("section")].filter(section => links.has(section.id));
  const atEnd = scrollY + innerHeight >= root.scrollHeight - 2;
  return atEnd && scrollY > 0 ? sections.at(-1) : sections.filter(section => section.getBoundingClientRect().top < 80).at(-1) || sections[0];
}

function markSection() {
  const current = currentSection();
  for (const [id, link] of links) {
    if (id !== current.id) link.removeAttribute("aria-current");
    else if (!link.hasAttribute("aria-current")) {
      link.setAttribute("aria-current", "true");
      const nav = link.parentElement;
      nav.scrollTo({left: link.offsetLeft - nav.offsetLeft - nav.clientWidth / 3, top: link.offsetTop - nav.offsetTop - nav.clientHeight / 3});
    }
  }
}
let isWaiting = false;
const follow = () => { if (!isWaiting) { isWaiting = true; requestAnimationFrame(() => { isWaiting = false; markSection(); }); } };
addEventListener("scroll", follow, {passive: true});
addEventListener("resize", follow);

async function showFold(details) {
  for (const plot of plots) if (details.open && details.contains(plot.element)) {
    if (plot.isStale || !plot.isDrawn) await tryToDraw(plot);
    else Plotly.Plots.resize(plot.element);
  }
}

// --- copying

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "copied";
  } catch {  // not allowed in this frame: select the text for Ctrl-C
    getSelection().selectAllChildren(text);
    button.textContent = "Ctrl-C";
  }
  setTimeout(() => { button.textContent = "copy"; }, 2000);
}

// --- the content: connect it with the functions above

// Plots that are shown already keep their element and what the reader set in them.
function readPlots() {
  const earlier = new Map(plots.map(plot => [plot.name, plot]));
  return pageData.plots.map(plot => Object.assign(earlier.get(plot.name) || {}, plot, {element: document.getElementById("plot-" + plot.name), places: null, lines: null}));
}

let observer = null;
function connect() {
  pageData = JSON.parse(document.getElementById("page-data").textContent);
  plots = harness.plots = readPlots();
  rows = [...document.querySelectorAll("#leaderboard tbody tr")];
  pickable = [...document.querySelectorAll("tr[data-key]")];  // a row of another table may have several trials
  heads = [...document.querySelectorAll("#leaderboard th")];
  names = heads.map(head => head.textContent.trim().replaceAll(" ", "_"));
  heads.forEach((head, column) => { head.onclick = () => sort(column); });
  applyOrder();
  const filter = document.getElementById("filter");
  if (filter) {
    filter.value = filterText;
    filter.oninput = () => { filterText = filter.value; applyFilter(); };
    applyFilter();
  }
  addCurveSwitches();
  document.querySelectorAll(".scroll table").forEach(addTableDownloads);
  links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
  if (links.size) markSection();
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", () => showFold(details));
  for (const box of document.querySelectorAll(".copy")) box.querySelector("button").onclick = event => copy(event.currentTarget, box.querySelector("pre"));
  if (observer) observer.disconnect();
  if (!root.dataset.interval) return;
  observer = new IntersectionObserver(entries => {
    for (const plot of plots) if (plot.isStale && entries.some(entry => entry.isIntersecting && entry.target === plot.element)) tryToDraw(plot);
  }, {rootMargin: "50%"});
  for (const plot of plots) observer.observe(plot.element);
}

function clear() { isDefaultSelection = false; colours.clear(); show(); }
document.getElementById("clear").onclick = clear;
addEventListener("keydown", event => { if (event.key === "Escape" && colours.size) clear(); });
connect();
selectPresent();
show().then(() => { harness.drawn = true; harness.drawnAt = performance.now(); });
