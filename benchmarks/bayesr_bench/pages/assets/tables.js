/* The page of recorded tables and histories: tables that sort and filter, their facts, and the charts they come with. */
"use strict";

(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");

  function add(parent, tag, attributes, text) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  }

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

  /* So many significant digits, but no more decimals than were recorded; a minus that is one. */
  function format(value, digits = 4, recorded = Infinity) {
    if (value === null || value === undefined || value === "") return "–";
    if (!isNumber(value)) return String(value);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e12)) {
      const [factor, exponent] = value.toExponential(2).replace("+", "").split("e");
      return factor.replace("-", "−") + "×10" + exponent.replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
    }
    const wanted = size >= 10 ** (digits - 1) ? 0 : digits - 1 - Math.floor(Math.log10(size || 1));
    const decimals = Math.min(wanted, recorded);
    return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
  }

  function decimalsOf(value) {
    const [, decimals = "", exponent = "0"] = /^-?\d*\.?(\d*)(?:e(.*))?$/.exec(String(value)) || [];
    return isNumber(value) ? Math.max(decimals.length - Number(exponent), 0) : 0;
  }

  function drawCharts(parent, specs) {
    if (!specs.length) return;
    const grid = add(parent, "div", { class: "charts" });
    for (const spec of specs) window.bayesrChart(add(grid, "div"), spec);
  }

  function section(id, name, kind) {
    const node = add(main, "section", { id, "aria-labelledby": id + "-name" });
    add(node, "h2", { id: id + "-name" }, name);
    add(add(document.getElementById("contents"), "li"), "a", { href: "#" + id }, kind ? `${name}, ${kind}` : name);
    return node;
  }

  function sayBeaten(parent, beaten) {
    const references = [...new Set(beaten.map((one) => one.reference))];
    for (const reference of references) {
      const box = add(parent, "div", { class: "beaten" });
      add(box, "strong", {}, `${reference} is beaten beyond noise`);
      const groups = new Map(); // where and by whom -> in what
      for (const one of beaten.filter((each) => each.reference === reference)) {
        const key = (one.group ? one.group + ": " : "") + one.by;
        const said = `${one.figure} by ${format(Math.abs(one.difference), 3)} ± ${format(one.error, 2)}`;
        groups.set(key, [...(groups.get(key) || []), said]);
      }
      const points = add(box, "ul");
      for (const [key, said] of groups) add(points, "li", {}, `${key}, in ${said.join(", ")}`);
    }
  }

  function list(parent, facts) {
    const node = add(parent, "dl", { class: "facts" });
    for (const [name, value] of facts) {
      add(node, "dt", {}, name);
      add(node, "dd", {}, value);
    }
  }

  function sayFacts(parent, facts, title) {
    const details = add(parent, "details");
    add(details, "summary", {}, title);
    list(details, facts);
  }

  function cell(row, table, i, column, number) {
    const value = table.rows[i][column], error = table.errors[i][column], told = table.columns[column];
    const node = add(row, number === 0 ? "th" : "td", number === 0 ? { scope: "row" } : { class: told.numeric ? "number" : "text" });
    const text = add(node, "span", {}, format(value, 4, told.decimals));
    if (told.best.includes(i)) {
      text.className = "best";
      text.title = table.group ? `best of ${table.rows[i][table.columns.findIndex((one) => one.name === table.group)]}` : "best of all";
    }
    const verdict = told.verdicts[i];
    if (verdict === "better" || verdict === "worse") {
      text.className = verdict;
      text.title = verdict + " beyond noise";
    }
    if (isNumber(error)) add(node, "span", { class: "error" }, " ± " + format(error, 2, told.errorDecimals));
  }

  /* The columns as they are shown: what is compared comes first and stays in sight. */
  function ordered(table) {
    const first = table.columns.findIndex((column) => column.name === table.label);
    const all = table.columns.map((_, i) => i);
    return first > 0 ? [first, ...all.filter((i) => i !== first)] : all;
  }

  function order(a, b) {
    if (isNumber(a) && isNumber(b)) return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function drawTable(parent, table) {
    const tools = add(parent, "div", { class: "tools screen" });
    const filter = add(tools, "input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter the rows of ${table.name}` });
    const count = add(tools, "span", { class: "note", role: "status" });
    const legend = add(tools, "span", { class: "note legend" });
    if (table.columns.some((column) => column.best.length)) add(legend, "span", { class: "best" }, table.group ? `best of each ${table.group}` : "best of its column");
    const verdicts = table.columns.flatMap((column) => column.verdicts);
    if (verdicts.includes("better")) add(legend, "span", { class: "better" }, "better");
    if (verdicts.includes("worse")) add(legend, "span", { class: "worse" }, "worse, beyond noise");
    const scroll = add(parent, "div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table ${table.name}` });
    const node = add(scroll, "table"), head = add(add(node, "thead"), "tr"), body = add(node, "tbody");
    const columns = ordered(table);
    let sorted = null, falling = false;

    function fill() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = table.rows.map((_, i) => i).filter((i) => {
        const text = table.rows[i].map((value) => format(value)).join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      });
      if (sorted !== null) {
        const known = shown.filter((i) => table.rows[i][sorted] !== null);
        const missing = shown.filter((i) => table.rows[i][sorted] === null); // last, whichever way it goes
        known.sort((a, b) => (falling ? -1 : 1) * order(table.rows[a][sorted], table.rows[b][sorted]) || a - b);
        shown = [...known, ...missing];
      }
      body.replaceChildren();
      for (const i of shown) {
        const row = add(body, "tr");
        columns.forEach((column, number) => cell(row, table, i, column, number));
      }
      count.textContent = words.length ? `${shown.length} of ${table.rows.length} rows` : `${table.rows.length} rows`;
    }

    columns.forEach((column) => {
      const told = table.columns[column];
      const th = add(head, "th", { scope: "col", class: told.numeric ? "number" : "", "aria-sort": "none" });
      add(th, "button", { type: "button" }, told.name).addEventListener("click", () => {
        if (sorted === column && falling) [sorted, falling] = [null, false]; // the third press: as recorded
        else [falling, sorted] = [sorted === column, column];
        for (const other of head.children) other.setAttribute("aria-sort", "none");
        if (sorted !== null) th.setAttribute("aria-sort", falling ? "descending" : "ascending");
        fill();
      });
    });
    filter.addEventListener("input", fill);
    fill();
  }

  function showTable(table) {
    const node = section("table-" + table.name, table.name);
    const { command, date, machine, ...facts } = table.facts;
    const made = add(node, "p", { class: "note made" });
    if (command) add(made, "code", {}, command);
    for (const fact of [date, machine]) if (fact) add(made, "span", {}, fact);
    drawCharts(node, table.charts);
    const aims = Object.entries(facts).filter(([name]) => name.startsWith("aim: ")).map(([name, value]) => [name.slice(5), value]);
    if (aims.length) {
      const box = add(node, "div", { class: "aims" });
      add(box, "strong", {}, "Aims");
      list(box, aims);
    }
    sayBeaten(node, table.beaten);
    drawTable(node, table);
    const others = Object.entries(facts).filter(([name]) => !name.startsWith("aim: "));
    sayFacts(node, others, "How it was made and what the columns mean");
  }

  function showHistory(history) {
    const node = section("history-" + history.name, history.name, "training");
    const made = add(node, "p", { class: "note made" });
    const steps = history.stages.length ? history.stages[history.stages.length - 1].last : 0;
    add(made, "span", {}, `${format(steps, 4, 0)} steps, ${format(history.records, 4, 0)} records`);
    if (isNumber(history.seconds)) add(made, "span", {}, `${format(history.seconds / 60, 3)} minutes`);
    drawCharts(node, history.charts);
    const facts = {};
    for (const stage of history.stages) facts[`stage ${stage.stage}`] = `recorded from step ${format(stage.first, 4, 0)} to ${format(stage.last, 4, 0)}`;
    for (const [name, value] of Object.entries(history.last)) facts[`${name}, last`] = format(value, 4, decimalsOf(value));
    sayFacts(node, Object.entries(facts), "Stages and last values");
  }

  const said = [];
  if (data.tables.length) said.push(`${data.tables.length} table${data.tables.length > 1 ? "s" : ""}`);
  if (data.histories.length) said.push(`${data.histories.length} training histor${data.histories.length > 1 ? "ies" : "y"}`);
  const left = data.leftOut.length ? ` Left out, since they are not recorded tables: ${data.leftOut.join(", ")}.` : "";
  document.getElementById("about").textContent = said.join(" and ") + ". Press a column's name to sort by it." + left;
  for (const table of data.tables) {
    const most = (rows, i) => Math.max(...rows.map((row) => decimalsOf(row[i])));
    table.columns.forEach((column, i) => Object.assign(column, { decimals: most(table.rows, i), errorDecimals: most(table.errors, i) }));
    showTable(table);
  }
  data.histories.forEach(showHistory);
})();
