"use strict";
(() => {
  const table = document.getElementById("nodes");
  const bodies = [...table.tBodies];
  const nodes = [...table.querySelectorAll("tr.node")];
  const more = new Map(nodes.map((row) => [row, row.nextElementSibling]));
  const places = new Map(nodes.map((row) => [row, row.parentElement]));
  const heads = [...table.tHead.rows[0].cells];
  const filter = document.getElementById("filter");
  const boxes = [...document.querySelectorAll("#filters input[type=checkbox]")];
  const folded = new Set();

  // Rows that the filters, and modules that are folded, leave; the group of none is hidden.
  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const sorted = table.classList.contains("sorted");
    let count = 0;
    const used = new Set();
    for (const row of nodes) {
      const text = (row.textContent + more.get(row).textContent).toLowerCase();
      const fits = verdicts.has(row.dataset.verdict) && words.every((word) => text.includes(word));
      const body = places.get(row);
      count += fits;
      if (fits) used.add(body);
      row.hidden = !fits || (!sorted && folded.has(body));
      more.get(row).hidden = row.hidden || row.getAttribute("aria-expanded") !== "true";
    }
    for (const body of bodies) body.rows[0].hidden = sorted || !used.has(body);
    document.getElementById("shown").textContent = `${count} of ${nodes.length} nodes`;
  }

  function key(row, column) {
    const cell = row.cells[column];
    if (!cell.classList.contains("n")) return cell.textContent;
    return cell.dataset.n === undefined ? NaN : Number(cell.dataset.n.replace("inf", "Infinity"));
  }

  function compare(a, b) {
    if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
    return a === b ? 0 : a - b;
  }

  // Nodes without a number come last, whatever the direction.
  function order(column, sign) {
    const missing = (value) => Number.isNaN(value);
    return nodes
      .map((row, i) => ({ row, i, value: key(row, column) }))
      .sort((a, b) =>
        missing(a.value) || missing(b.value)
          ? missing(a.value) - missing(b.value) || a.i - b.i
          : sign * compare(a.value, b.value) || a.i - b.i)
      .map(({ row }) => row);
  }

  // A column: ascending, descending, then the order of the graph again, by module.
  function sort(column) {
    const head = heads[column];
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    const state = next[head.getAttribute("aria-sort")];
    for (const each of heads) each.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", state);
    table.classList.toggle("sorted", state !== "none");
    const rows = state === "none" ? nodes : order(column, state === "ascending" ? 1 : -1);
    for (const row of rows) {
      (state === "none" ? places.get(row) : bodies[0]).append(row, more.get(row));
    }
    show();
  }

  function open(row, isOpen) {
    row.setAttribute("aria-expanded", String(isOpen));
    show();
  }

  function toggle(row) {
    open(row, row.getAttribute("aria-expanded") !== "true");
  }

  function paint(by) {
    for (const box of document.querySelectorAll("#graph .box")) {
      box.querySelector("rect").style.fill = box.dataset[by];
    }
  }

  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => sort(i)));
  filter.addEventListener("input", show);
  for (const box of boxes) box.addEventListener("change", show);
  for (const row of nodes) {
    row.addEventListener("click", () => toggle(row));
    row.addEventListener("keydown", (event) => event.key === "Enter" && toggle(row));
  }
  for (const body of bodies) {
    body.rows[0].addEventListener("click", () => {
      if (!folded.delete(body)) folded.add(body);
      show();
    });
  }
  const color = document.getElementById("color");
  if (color) {
    color.addEventListener("change", () => paint(color.value));
    paint(color.value);
  }
  for (const box of document.querySelectorAll("#graph .box")) {
    box.addEventListener("click", () => {
      const row = document.getElementById(box.dataset.row);
      open(row, true);
      row.scrollIntoView({ block: "center" });
      row.focus();
    });
  }
  show();
})();
