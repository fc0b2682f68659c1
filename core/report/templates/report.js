"use strict";
// The page is complete without this script; it adds the choice of seed and epoch, sorting and copying.
(() => {
  const say = (text) => {
    document.getElementById("announcement").textContent = text;
  };

  // ---- Wide content scrolls by itself, and is reached by keyboard where it does.
  const markScrollers = () => {
    for (const scroller of document.querySelectorAll(".scroller")) {
      const scrolls = scroller.scrollWidth > scroller.clientWidth + 1;
      const caption = scroller.querySelector("caption, title");
      if (scrolls) {
        scroller.tabIndex = 0;
        scroller.setAttribute("role", "region");
        scroller.setAttribute("aria-label", (caption ? caption.textContent : "Wide content") + ", scrolls sideways");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) scroller.removeAttribute(name);
      }
    }
  };

  // ---- Pictures whose numbers change: cells are whole numbers, ten-thousandths.
  const colours = JSON.parse(document.getElementById("colour-scale").textContent);
  const fixed = (value, decimals) => (value === null ? "-" : value.toFixed(decimals));
  const numbersOf = (root) => JSON.parse(root.querySelector("[data-numbers]").textContent);
  const cellsOf = (whole) => (whole ? whole.map((value) => (value === null ? null : value / 1e4)) : null);

  const describe = (panel, values) => {
    const parts = [];
    for (let row = 0; row < panel.rows.length; row += 1) {
      const shares = values.slice(row * panel.columns, (row + 1) * panel.columns);
      const best = shares.indexOf(Math.max(...shares));
      parts.push(`${panel.rows[row]} selects expert ${best} most (${Math.round(100 * shares[best])} %)`);
    }
    return parts.join(", ") + ".";
  };

  const describeMatrix = (panel, values) => {
    let best = -1;
    values.forEach((value, i) => {
      const diagonal = Math.floor(i / panel.columns) === i % panel.columns;
      if (!diagonal && value !== null && (best < 0 || value > values[best])) best = i;
    });
    if (best < 0) return "";
    const row = Math.floor(best / panel.columns);
    const shown = fixed(values[best], panel.decimals);
    return `Largest off the diagonal: expert ${row} with expert ${best % panel.columns} (${shown}).`;
  };

  const paint = (svg, panel, whole, subtitle) => {
    const values = cellsOf(whole);
    const marks = svg.querySelector('[data-part="cells"]').children;
    for (let i = 0; 2 * i + 1 < marks.length; i += 1) {
      const value = values === null ? null : values[i];
      const share = value === null ? 0 : Math.min(1, Math.max(0, value / panel.scale));
      const [ground, ink] = colours[Math.round(100 * share)];
      marks[2 * i].setAttribute("fill", ground);
      marks[2 * i + 1].setAttribute("fill", ink);
      marks[2 * i + 1].textContent = fixed(value, panel.decimals);
    }
    svg.querySelector('[data-part="subtitle"]').textContent = subtitle;
    const what = panel.rows ? describe : describeMatrix;
    const words = values === null ? `${subtitle}: there is no such file.` : `${subtitle}. ${what(panel, values)}`;
    svg.querySelector("desc").textContent = words;
    return words;
  };

  // ---- One seed for the whole page: every block with a choice of seeds follows the others.
  const seeded = [];
  const chooseSeed = (seed, chosenIn) => {
    for (const block of seeded) {
      const known = [...block.select.options].some((option) => option.value === seed);
      if (!known) continue;
      block.select.value = seed;
      block.show(block.select === chosenIn);
    }
  };
  const followSeeds = (form, select, show) => {
    seeded.push({ select, show });
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    select.selectedIndex = 0;
    select.addEventListener("change", () => chooseSeed(select.value, select));
  };

  const startSeeded = (root) => {
    const numbers = numbersOf(root);
    const form = root.querySelector("form");
    const seed = form.elements.namedItem("seed");
    const pictures = root.querySelectorAll("svg");
    const show = (aloud) => {
      const index = numbers.seeds.indexOf(seed.value);
      const words = numbers.panels.map((panel, number) =>
        paint(pictures[number], panel, panel.values[index], `${panel.subtitle}, seed ${seed.value}`));
      form.elements.namedItem("shown").textContent = `${index + 1} of ${numbers.seeds.length} seeds`;
      if (aloud) say(words[0]);
    };
    followSeeds(form, seed, show);
    show(false);
  };

  // ---- The slider over epochs.
  const startExplorer = (root) => {
    const numbers = numbersOf(root);
    const form = root.querySelector("form");
    const [arm, seed, epoch, shown] = ["arm", "seed", "epoch", "shown"].map((name) => form.elements.namedItem(name));
    const blocks = [...root.querySelectorAll("[data-arm]")];
    const runIndex = () => numbers.arms[arm.value].runs.findIndex((run) => run.seed === seed.value);
    const epochsOfRun = () => {
      const run = numbers.arms[arm.value].runs[runIndex()];
      return run ? run.epochs : [];
    };

    const show = (aloud) => {
      const data = numbers.arms[arm.value];
      const [run, epochs, index] = [runIndex(), epochsOfRun(), Number(epoch.value)];
      const block = blocks.find((candidate) => candidate.dataset.arm === arm.value);
      const pictures = block.querySelectorAll("svg");
      const known = index < epochs.length;
      const subtitle = known ? `Epoch ${epochs[index]}, seed ${seed.value}` : `Seed ${seed.value}, which this arm lacks`;
      const words = data.panels.map((panel, number) =>
        paint(pictures[number], panel, known ? panel.values[run][index] : null, subtitle));
      const position = known ? `Epoch ${epochs[index]} of ${epochs[epochs.length - 1]}` : "no such run";
      epoch.setAttribute("aria-valuetext", position);
      shown.textContent = position;
      if (aloud) say(words[0]);
    };
    // Another run keeps the epoch where it has it.
    const choose = (aloud, toEnd) => {
      for (const block of blocks) block.hidden = block.dataset.arm !== arm.value;
      const last = Math.max(0, epochsOfRun().length - 1);
      const wasAtEnd = toEnd || epoch.value === epoch.max;
      epoch.max = String(last);
      if (wasAtEnd) epoch.value = epoch.max;
      show(aloud);
      markScrollers();
    };
    epoch.addEventListener("input", () => show(true));
    arm.addEventListener("change", () => choose(true, true));
    arm.selectedIndex = 0;
    followSeeds(form, seed, (aloud) => choose(aloud, false));
    choose(false, true);
  };

  // ---- Tables: sorting by a click on a heading, copying as CSV.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const key = cell.dataset.sort === undefined || cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return { number: Number.isFinite(key) ? key : null, text, absent: text === "" || text === "-" };
  };

  const compare = (a, b) => {
    if (a.number !== null && b.number !== null) return a.number - b.number;
    return a.text.localeCompare(b.text, "en", { numeric: true });
  };

  const sortBy = (table, column) => {
    const heading = table.tHead.rows[0].cells[column];
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const cell of table.tHead.rows[0].cells) cell.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", order);
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: keyOf(row, column) }));
    rows.sort((a, b) => {
      // What is absent stays at the end either way.
      if (a.key.absent !== b.key.absent) return a.key.absent ? 1 : -1;
      return order === "ascending" ? compare(a.key, b.key) : compare(b.key, a.key);
    });
    table.tBodies[0].append(...rows.map((entry) => entry.row));
    say(`Sorted by ${heading.textContent.trim()}, ${order}`);
  };

  const csvOf = (table) => {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const line = (row) =>
      [...row.cells].map((cell) => quoted(cell.textContent.replace(/\s+/g, " ").trim())).join(",");
    return [...table.rows].map(line).join("\n") + "\n";
  };

  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // Pages opened as files have no clipboard API in some browsers.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copying is not allowed here");
  };

  const startTable = (table) => {
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = cell.textContent;
      button.title = "Sort by this column";
      cell.replaceChildren(button);
      cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sortBy(table, column));
    });
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "copy";
    copy.textContent = "Copy as CSV";
    copy.setAttribute("aria-label", `Copy as CSV: ${table.caption.textContent}`);
    const note = document.createElement("span");
    note.className = "copied";
    copy.addEventListener("click", async () => {
      try {
        await copyText(csvOf(table));
        note.textContent = "Copied.";
      } catch (error) {
        note.textContent = `Not copied: ${error.message}`;
      }
      say(note.textContent);
    });
    table.closest(".scroller").after(copy, note);
  };

  document.querySelectorAll("[data-explorer]").forEach(startExplorer);
  document.querySelectorAll("[data-seeded]").forEach(startSeeded);
  document.querySelectorAll("table").forEach(startTable);
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", markScrollers);
    window.addEventListener("beforeprint", () => { details.open = true; });
  }
  window.addEventListener("resize", markScrollers);
  markScrollers();
})();
