"use strict";
// Downloads: each plot as PNG, SVG and CSV, each table as CSV and LaTeX. Nothing leaves the page.

const KEPT_MS = 60000;  // a download that starts late still needs its address

function saveFile(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], {type}));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

// MLflow shows a report in a frame that blocks downloads, without an error that a script can catch.
const isSandboxed = window.parent !== window && origin === "null";
function save(run) { return event => isSandboxed ? explainBlocked(event.currentTarget.closest(".save")) : run(); }
function explainBlocked(tools) {
  if (tools.querySelector(".blocked")) return;
  const note = document.createElement("span");
  note.className = "blocked";
  note.setAttribute("role", "status");
  note.textContent = "This frame blocks downloads. Download report.html and open the file.";
  tools.append(note);
}

function addButtons(parent, ...buttons) {
  for (const [text, title, run] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.title = title;
    button.onclick = run;
    parent.append(button);
  }
}

function toCsv(rows) {
  const quote = cell => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return rows.map(row => row.map(cell => quote(String(cell ?? ""))).join(",") + "\r\n").join("");
}

function toLatex([head, ...rows]) {
  const special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--", "±": "$\\pm$", "≤": "$\\le$", "≥": "$\\ge$"};
  const escape = cell => String(cell ?? "").replace(/[\\~^–±≤≥&%$#_{}]/g, sign => special[sign] || "\\" + sign);
  const line = row => row.map(escape).join(" & ") + " \\\\";
  const isNumber = head.map((_, column) => rows.every(row => row[column] === "" || !isNaN(row[column].replaceAll(",", ""))));
  return ["% \\usepackage{booktabs}", `\\begin{tabular}{${isNumber.map(each => each ? "r" : "l").join("")}}`, "\\toprule", line(head), "\\midrule",
    ...rows.map(line), "\\bottomrule", "\\end{tabular}", ""].join("\n");
}

// --- plots

function axisTitle(axis, other) { return ((axis || {}).title || {}).text || other; }

// The text at a position of an axis that names its rows, such as the classes.
function axisText(axis, position) {
  const {tickvals, ticktext} = axis || {}, index = ticktext ? (tickvals || []).indexOf(Math.round(position)) : -1;
  return index < 0 ? "" : ticktext[index];
}

function toText(html) {  // labels are escaped for Plotly
  return typeof html === "string" ? new DOMParser().parseFromString(html.replaceAll("<br>", "; "), "text/html").body.textContent : html;
}

// Return a plot's data as rows; the first row is the head.
function tabulate({data, layout}) {
  if (data.some(trace => trace.z)) {
    const head = [axisTitle(layout.yaxis, "row"), axisTitle(layout.xaxis, "column"), "value"];
    return [head, ...data.filter(trace => trace.z).flatMap(({x, y, z, meta}) => z.flatMap((row, i) => row.map((value, j) =>
      [(meta && meta.rows || [])[i] ?? (toText(axisText(layout.yaxis, y[i])) || toText(y[i])), toText(axisText(layout.xaxis, x[j])) || toText(x[j]), value])))];
  }
  const rows = [], hidden = (layout.meta || {}).hidden || [];
  const parts = [...data.map(trace => [trace, trace]), ...hidden.map(points => [data[points.trace], points])];
  for (const [trace, points] of parts) (points.x || []).forEach((x, i) => {
    const y = points.y[i];
    if (x === null || y === null) return;
    const trial = Array.isArray(points.customdata) ? points.customdata[i] : null, text = Array.isArray(points.text) ? points.text[i] : null;
    rows.push([toText(trace.name), trial, toText(axisText(layout.xaxis, x)), x, toText(axisText(layout.yaxis, y)), y, toText(text), ...["error_x", "error_y"].flatMap(name => {
      const {array, arrayminus} = trace[name] || {}, value = name === "error_x" ? x : y;
      return array ? [value - (arrayminus || array)[i], value + array[i]] : [null, null];
    })]);
  });
  const x = axisTitle(layout.xaxis, "x") + ((layout.meta || {}).spread ? " (as drawn)" : ""), y = axisTitle(layout.yaxis, "y");
  const head = ["series", "trial", `${x}: name`, x, `${y}: name`, y, "text", "low", "high", "low", "high"];
  const used = head.map((_, column) => rows.some(row => ![null, undefined, ""].includes(row[column])));
  return [head, ...rows].map(row => row.filter((_, column) => used[column]));
}

async function savePlot(plot, format) {
  const {element} = plot, {width, height} = element.getBoundingClientRect(), paper = getComputedStyle(document.body).backgroundColor;
  const figure = {data: element.data, layout: {...element.layout, paper_bgcolor: paper}}, scale = format === "png" ? 2 : 1;
  const image = await Plotly.toImage(figure, {format, width, height, scale, imageDataOnly: true});
  const content = format === "png" ? Uint8Array.from(atob(image), letter => letter.charCodeAt(0)) : image;
  saveFile(`${plot.name}.${format}`, format === "png" ? "image/png" : "image/svg+xml", content);
}

function addPlotDownloads(plot) {
  const tools = document.createElement("span");
  tools.className = "save";
  addButtons(tools, ["PNG", "save the plot as PNG", save(() => savePlot(plot, "png"))], ["SVG", "save the plot as SVG", save(() => savePlot(plot, "svg"))],
    ["CSV", "save the plot's data as CSV", save(() => saveFile(`${plot.name}.csv`, "text/csv", toCsv(tabulate(plot))))]);
  plot.element.closest("figure").querySelector("figcaption").append(tools);
}

// --- tables

// Return the rows that the filter shows. `exact` gives numbers in full instead of as shown.
function readTable(table, exact) {
  const read = cell => exact && cell.dataset.value && !isNaN(cell.dataset.value) ? cell.dataset.value : cell.textContent.trim();
  return [...table.rows].filter(row => !row.hidden).map(row => [...row.cells].map(read));
}

function addTableDownloads(table) {
  const name = table.id || table.closest("section").id, tools = document.createElement("p");
  tools.className = "save";
  addButtons(tools, ["CSV", "save the rows shown as CSV", save(() => saveFile(`${name}.csv`, "text/csv", toCsv(readTable(table, true))))],
    ["LaTeX", "save the rows shown as a LaTeX table", save(() => saveFile(`${name}.tex`, "text/x-tex", toLatex(readTable(table, false))))]);
  table.closest(".scroll").after(tools);
}
