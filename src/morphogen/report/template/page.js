"use strict";
(() => {
  // colors come from the style sheet, so that the charts follow the theme of the page
  const colored = (value, style) => {
    if (typeof value === "string" && value.startsWith("var:")) return style.getPropertyValue("--" + value.slice(4)).trim();
    if (Array.isArray(value)) return value.map((v) => colored(v, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colored(v, style)]));
    }
    return value;
  };
  const data = document.getElementById("figures");
  const figures = data ? JSON.parse(data.textContent) : [];
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const place of document.querySelectorAll(".chart")) {
      const figure = colored(figures[Number(place.dataset.figure)], style);
      const config = { displaylogo: false, responsive: true, displayModeBar: false };
      window.Plotly.react(place, figure.data, figure.layout, config);
    }
  };
  if (figures.length) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    // paper is light whatever the screen is: the media query of the style sheet says so
    matchMedia("print").addEventListener("change", draw);
  }

  for (const table of document.querySelectorAll(".sortable")) {
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const numbers = x !== "" && y !== "" && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
          return numbers ? Number(x) - Number(y) : x.localeCompare(y);
        };
        const rows = [...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
        body.append(...rows);
      });
    });
  }
})();
