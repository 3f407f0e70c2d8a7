"use strict";
// The page is whole without this script: it adds sorting, a switch between light and dark, and opens
// what a link points to.
const dark = matchMedia("(prefers-color-scheme: dark)");
const toggle = document.createElement("button");
toggle.type = "button";
toggle.className = "theme";
const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const say = () => (toggle.textContent = isDark() ? "Light" : "Dark");
toggle.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  say();
});
dark.addEventListener("change", say);
say();
document.querySelector("header").prepend(toggle);
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
      for (const body of table.tBodies) { // within each group, under its name
        const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
        body.append(...rows.sort(order));
      }
    });
  });
}
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
  if (target.matches("details")) target.scrollIntoView();
};
addEventListener("hashchange", openTarget);
openTarget();
let shut = [];
addEventListener("beforeprint", () => {
  shut = [...document.querySelectorAll("details:not([open])")];
  shut.forEach((d) => (d.open = true));
});
addEventListener("afterprint", () => shut.forEach((d) => (d.open = false)));
