"use strict";
// The page of a running study. `harness report --open` writes the newest page to a script beside
// it, because a page that was opened from a file can load a script and cannot fetch. The page
// loads that every few seconds and replaces its content; plots, tables and folds stay as the
// reader set them.

const STALE = 60;  // seconds without a new page after which its writer is gone

let received = null;  // the content that is shown
function receivePage(html) {
  const page = new DOMParser().parseFromString(html, "text/html"), content = page.querySelector("main").innerHTML + page.getElementById("page-data").textContent;
  for (const name of ["interval", "written"]) {
    if (name in page.documentElement.dataset) root.dataset[name] = page.documentElement.dataset[name];
    else delete root.dataset[name];
  }
  for (const selector of ["title", "#subtitle", "#status"]) document.querySelector(selector).textContent = page.querySelector(selector).textContent;
  if (content === received) return;
  received = content;
  keepView(() => replaceContent(page));
  selectPresent();
  show();
}

function replaceContent(page) {
  const main = page.querySelector("main"), isOpen = new Set([...document.querySelectorAll("details[open]")].map(nameFold));
  for (const details of main.querySelectorAll("details")) details.open = isOpen.has(nameFold(details));
  for (const plot of plots) {
    const next = main.querySelector("#" + CSS.escape(plot.element.id));
    if (!next) Plotly.purge(plot.element);
    else if (plot.isDrawn) {  // the plot moves, so that its zoom stays and nothing flickers
      const [figure, nextFigure] = [plot.element, next].map(element => element.closest("figure"));
      figure.className = nextFigure.className;
      figure.querySelector("figcaption > span").textContent = nextFigure.querySelector("figcaption > span").textContent;
      nextFigure.replaceWith(figure);
    }
  }
  document.querySelector("main").replaceWith(main);
  document.querySelector("nav").replaceWith(page.querySelector("nav"));
  document.getElementById("page-data").textContent = page.getElementById("page-data").textContent;
  connect();
}

function nameFold(details) { return details.closest("section").id + " " + details.querySelector("summary").textContent; }

// Call `change`, then restore the focus, the section at the top of the window, and scrolled tables.
function keepView(change) {
  const focused = document.activeElement, path = findPath(focused), {selectionStart, selectionEnd} = focused;
  const current = currentSection(), id = current && current.id, top = current && current.getBoundingClientRect().top;
  const boxes = [...document.querySelectorAll(".scroll")].map(box => [box.querySelector("table").id || box.closest("section").id, box.scrollLeft, box.scrollTop]);
  change();
  const scrolled = new Map(boxes.map(([name, ...offsets]) => [name, offsets]));
  for (const box of document.querySelectorAll(".scroll")) {
    const offsets = scrolled.get(box.querySelector("table").id || box.closest("section").id);
    if (offsets) [box.scrollLeft, box.scrollTop] = offsets;
  }
  const section = id && document.getElementById(id);
  if (section && scrollY > 0) scrollBy({top: section.getBoundingClientRect().top - top, behavior: "instant"});
  const target = path && path(document);
  if (!target || target === document.activeElement) return;
  target.focus({preventScroll: true});
  if (typeof selectionStart === "number") target.setSelectionRange(selectionStart, selectionEnd);
}

// Return a function that finds an element of the same place in a newer page.
function findPath(element) {
  const section = element.closest("section");
  if (!section) return null;
  const steps = [];
  for (let each = element; each !== section; each = each.parentElement) steps.unshift([...each.parentElement.children].indexOf(each));
  if (element.dataset.key) return page => page.querySelector(`#${CSS.escape(section.id)} tr[data-key="${element.dataset.key}"]`);
  return page => steps.reduce((each, step) => each && each.children[step], page.getElementById(section.id));
}

function update() {
  const {interval, written} = root.dataset, next = () => setTimeout(update, 1000 * Math.min(interval, 5));
  if (!interval) return;  // the study has ended
  if (Date.now() / 1000 - written > STALE + 3 * interval) {
    document.getElementById("status").textContent += "; not updated any more: run harness report --open again";
    return;
  }
  if (document.hidden) return next();
  const script = document.createElement("script");
  script.src = root.dataset.update + "?" + Date.now();
  script.onload = script.onerror = () => { script.remove(); update.count = (update.count || 0) + 1; next(); };
  document.body.append(script);
}
if (root.dataset.interval) setTimeout(update, 1000 * root.dataset.interval);
