"use strict";
// The page is whole without this script: it adds sorting, and opens a run that a link points to.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("num");
      const now = head.getAttribute("aria-sort");
      const next = now ? (now === "descending" ? "ascending" : "descending") : numeric ? "descending" : "ascending";
      const sign = next === "ascending" ? 1 : -1;
      const order = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (!numeric) return sign * x.localeCompare(y);
        if (x === "" || y === "") return (x === "") - (y === ""); // undefined is last either way
        return sign * (Number(x) - Number(y));
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      for (const body of table.tBodies) { // within each group: its first row is its name
        body.append(...[...body.rows].slice(1).sort(order));
      }
    });
  });
}
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.matches("details")) {
    target.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", openTarget);
openTarget();
let shut = [];
addEventListener("beforeprint", () => {
  shut = [...document.querySelectorAll("details:not([open])")];
  shut.forEach((d) => (d.open = true));
});
addEventListener("afterprint", () => shut.forEach((d) => (d.open = false)));
