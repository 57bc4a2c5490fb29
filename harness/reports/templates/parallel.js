"use strict";
// Brushing: in a plot of parallel coordinates, dragging along an axis keeps the trials whose lines
// pass there, on all brushed axes. The figure has the number of axes in `layout.meta.brush`.

const BRUSH_REACH = .2;  // the distance in axes from which a drag belongs to an axis

function isBrushed(plot) { return Boolean(plot.brushes && plot.brushes.size); }

// Return the height of each trial on every axis, of drawn and other trials: key -> [height, ...].
function readLines(plot) {
  const lines = new Map();
  for (const points of [...plot.data, ...((plot.layout.meta || {}).hidden || [])]) points.customdata.forEach((key, index) => {
    if (key === null) return;
    if (!lines.has(key)) lines.set(key, []);
    lines.get(key)[points.x[index]] = points.y[index];
  });
  return lines;
}

// Set or replace the brushes of the axes that a drag touches.
function brush(plot, {x, y}) {
  const [left, right] = [Math.min(...x), Math.max(...x)], middle = (left + right) / 2, axes = [...Array(plot.layout.meta.brush).keys()];
  const touched = axes.filter(axis => left - BRUSH_REACH <= axis && axis <= right + BRUSH_REACH);
  const nearest = axes.reduce((best, axis) => Math.abs(axis - middle) < Math.abs(best - middle) ? axis : best);
  for (const axis of touched.length ? touched : [nearest]) plot.brushes.set(axis, [Math.min(...y), Math.max(...y)]);
  showBrushes(plot);
}

function showBrushes(plot) {
  plot.note.textContent = "Drag along an axis to keep the trials that pass there.";
  plot.clear.hidden = !isBrushed(plot);
  return drawOne(plot);
}

// Return the trials that pass all brushes, and show their number.
function findPassing(plot) {
  plot.lines = plot.lines || readLines(plot);
  const passes = heights => [...plot.brushes].every(([axis, [low, high]]) => low <= heights[axis] && heights[axis] <= high);
  const passing = new Set([...plot.lines].filter(([, heights]) => passes(heights)).map(([key]) => key));
  plot.note.textContent = `${passing.size} of ${plot.lines.size} trials pass the brushed axes`;
  return passing;
}

// Return the traces with only the trials that pass; the other lines are faint.
function brushTraces(plot) {
  const select = (points, isKept) => {
    const keep = points.x.map((_, index) => isKept(points.customdata[index]));
    return Object.fromEntries(["x", "y", "customdata", "text"].map(name => [name, points[name].filter((_, index) => keep[index])]));
  };
  const passing = findPassing(plot), passes = key => key === null || passing.has(key), hidden = (plot.layout.meta || {}).hidden || [];
  const faint = plot.data.map(trace => ({...trace, ...select(trace, key => !passes(key) || key === null), opacity: .06, hoverinfo: "skip", hovertemplate: null}));
  const strong = [...plot.data.map(trace => ({...trace, ...select(trace, passes)})), ...hidden.map(points => ({...plot.data[points.trace], ...select(points, passes)}))];
  return [...faint, ...strong.map(trace => ({...trace, opacity: Math.max(.5, trace.opacity || 0)}))];
}

function brushLayout(plot, layout) {
  const bars = [...plot.brushes].map(([axis, [low, high]]) => ({type: "line", x0: axis, x1: axis, y0: Math.max(0, low), y1: Math.min(1, high), line: {color: pageData.colours[0], width: 8}, opacity: .6}));
  return {...layout, shapes: [...(layout.shapes || []), ...bars], selections: [], selectionrevision: ++plot.revision};
}

function addBrushing(plot) {
  Object.assign(plot, {brushes: new Map(), revision: 0, note: document.createElement("span"), clear: document.createElement("button")});
  const bar = document.createElement("p");
  bar.className = "soft brushes";
  plot.clear.type = "button";
  plot.clear.textContent = "clear";
  plot.clear.onclick = () => { plot.brushes.clear(); showBrushes(plot); };
  bar.append(plot.note, " ", plot.clear);
  plot.element.before(bar);
  // Plotly widens a drag that is nearly vertical to all axes, so the place comes from the pointer.
  const place = event => { const {xaxis} = plot.element._fullLayout; return xaxis.p2d(event.clientX - plot.element.getBoundingClientRect().left - xaxis._offset); };
  plot.element.addEventListener("pointerdown", event => { plot.drag = [place(event), place(event)]; }, true);
  addEventListener("pointermove", event => { if (event.buttons && plot.drag) plot.drag[1] = place(event); }, true);
  plot.element.on("plotly_selected", event => { if (event && event.range) brush(plot, {x: plot.drag || event.range.x, y: event.range.y}); });
  showBrushes(plot);
}
