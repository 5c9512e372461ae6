"use strict";

const collator = new Intl.Collator(undefined, { numeric: true });

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
}

function sortBy(heading, body, rows) {
  const before = heading.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : heading.dataset.first === "descending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const keyed = rows.map((row) => [valueOf(row, heading.cellIndex), row]);
  const order = (one, other) => (typeof one === "number" ? one - other : collator.compare(one, other));
  keyed.sort(([one], [other]) => (descending ? order(other, one) : order(one, other)));
  body.append(...keyed.map(([, row]) => row));
}

function filter(section, rows, texts) {
  const wanted = plain(section.querySelector("[type=search]").value).split(/\s+/).filter(Boolean);
  const kind = section.querySelector("select").value;
  let shown = 0;
  rows.forEach((row, index) => {
    row.hidden = (kind && !row.dataset.kind.split(" ").includes(kind)) || !wanted.every((word) => texts[index].includes(word));
    shown += row.hidden ? 0 : 1;
  });
  section.querySelector("[role=status]").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
}

function plain(text) {
  return text.normalize("NFC").toLowerCase();
}

for (const section of document.querySelectorAll("[data-searchable]")) {
  const body = section.querySelector("tbody");
  const rows = [...body.rows];
  const texts = rows.map((row) => plain(row.dataset.text));
  section.querySelector(".tools").hidden = false;
  for (const control of section.querySelectorAll("[type=search], select")) {
    control.addEventListener("input", () => filter(section, rows, texts));
  }
  for (const button of section.querySelectorAll("th button")) {
    button.addEventListener("click", () => sortBy(button.closest("th"), body, rows));
  }
  filter(section, rows, texts);
}

document.addEventListener("play", (event) => {
  for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
}, true);

// MLflow shows a page in a sandboxed frame, where following a link to a place on the page is refused.
for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const target = document.querySelector(link.getAttribute("href"));
    target.tabIndex = -1;
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  });
}
