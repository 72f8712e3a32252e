"use strict";
// Sorting and filtering of tables; without it every row is shown in the order of the design.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const held = (row, column, name) => row.cells[column].dataset[name] ?? row.cells[column].textContent.trim();
  const compare = (column, numeric) => (a, b) => {
    const [x, y] = [held(a, column, "value"), held(b, column, "value")];
    if (!numeric) return x.localeCompare(y, "en", { numeric: true });
    if (x === "" || y === "") return 0;
    return Number(x) - Number(y);
  };
  const order = (column, way) => {
    const sorted = [...rows];
    if (way) {
      const numeric = heads[column].dataset.sort === "number", by = compare(column, numeric);
      const empty = (row) => numeric && held(row, column, "value") === "";
      sorted.sort((a, b) => empty(a) - empty(b) || way * by(a, b));  // what has no value stays last
    }
    body.append(...sorted);
  };
  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      const way = before === "ascending" ? -1 : before === "descending" ? 0 : 1;
      if (way) head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      order(column, way);
    });
  });
  const controls = document.querySelector(`form[data-for="${table.id}"]`);
  if (!controls) continue;
  const choices = [...controls.querySelectorAll("select")], words = controls.querySelector("input");
  const told = controls.querySelector("output");
  const filter = () => {
    const wanted = words.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const chosen = choices.every((one) => !one.value || "=" + held(row, one.dataset.column, "filter") === one.value);
      const text = row.textContent.toLowerCase();
      row.hidden = !(chosen && wanted.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    told.value = `${shown} of ${rows.length} rows shown`;
  };
  controls.hidden = false;
  controls.addEventListener("input", filter);
  controls.addEventListener("change", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(filter));
  filter();
}
// A link to a table takes it from the page itself, where the page carries it.
for (const link of document.querySelectorAll("a.csv")) {
  const carried = document.querySelector(`${link.hash} a[download]`);
  if (carried) link.addEventListener("click", (event) => { event.preventDefault(); carried.click(); });
}
// Where the page is shown inside another that lets it save nothing (MLflow's viewer), no link pretends to.
if (self !== top) {
  for (const link of document.querySelectorAll("a[download], a[href^='tables/']")) link.replaceWith(link.textContent);
  document.querySelectorAll(".framed").forEach((note) => { note.hidden = false; });
}
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = folded(); opened.forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
if (matchMedia("(prefers-reduced-motion: no-preference)").matches)
  document.querySelectorAll("details.film").forEach((film) => { film.open = true; });
