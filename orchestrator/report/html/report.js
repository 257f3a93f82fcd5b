
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const t = data.tables;
  const KIND = { "Passed": "passed", "Passed*": "limited", "Failed": "failed", "Not Attempted": "skipped" };
  const URGENCY = ["Failed", "Not Attempted", "Passed*", "Passed"];
  const rows = data.rows.map((r, place) => {
    const reason = t.reason[r[6]];
    return {
      place, host: r[0], dns: r[1], netbios: r[2], technology: t.technology[r[3]], port: r[4], status: t.status[r[5]],
      reason: reason.code, why: reason, blocked: r[7], record: t.record[r[8]], subnet: t.subnet[r[9]], user: r[10],
      vault: t.vault[r[11]], secret: r[12], appliance: t.appliance[r[13]], attempts: r[14], ms: r[15], finished: r[16],
      phase: t.phase[r[17]], evidence: r[18], facts: r[19], phases: r[20].map(([p, ms]) => [t.phase[p], ms]), findings: r[21],
      earlier: r[22], zone: t.zone[r[23]],
    };
  });
  const searched = rows.map((r) => [r.host, r.dns, r.netbios, r.user, r.secret, r.reason, r.zone, r.appliance, r.evidence, r.facts.banner || ""]
    .join("\n").toLowerCase());
  // Addresses sort by their numbers: each run of digits is padded.
  const natural = (s) => s.replace(/\d+/g, (d) => d.padStart(10, "0"));
  const COLUMNS = [
    ["Host", (r) => natural(r.host), (r) => r.host, ""], ["Technology", (r) => r.technology, (r) => r.technology, ""],
    ["Status", (r) => URGENCY.indexOf(r.status), null, ""], ["Reason", (r) => r.reason, (r) => r.reason, "wide"],
    ["Record", (r) => natural(r.record), (r) => r.record, "wide"], ["Secret", (r) => natural(r.secret), (r) => r.secret, "wide"],
    ["Attempts", (r) => r.attempts, (r) => r.attempts, "number"], ["Time", (r) => r.ms, (r) => time(r.ms), "number"],
  ];
  const SIZE = 100, PRINTED = 2000;
  let shown = rows.map((r) => r.place), page = 0, sorted = 2, descending = false;
  let keys = null;

  function make(name, properties = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in node) node[key] = value; else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }
  function time(ms) {
    return ms < 10 ? ms.toFixed(1) + " ms" : ms < 1000 ? Math.round(ms) + " ms" : (ms / 1000).toPrecision(3) + " s";
  }

  // -- filters and order ---------------------------------------------------------------------------------------------
  const FILTERS = ["status", "reason", "record", "subnet"];
  for (const name of FILTERS) {
    const counts = new Map();
    for (const r of rows) counts.set(r[name], (counts.get(r[name]) || 0) + 1);
    const options = [...counts].sort((a, b) => b[1] - a[1] || natural(a[0]).localeCompare(natural(b[0])));
    $(name).append(make("option", { value: "*", textContent: "all" }),
      ...options.map(([value, number]) => make("option", { value: "=" + value, textContent: `${value || "(none)"} (${number})` })));
    $(name).addEventListener("change", filter);
  }
  function filter() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = FILTERS.map((name) => [name, $(name).value]).filter(([, value]) => value !== "*");
    shown = [];
    for (const r of rows) {
      if (wanted.every(([name, value]) => "=" + r[name] === value) && words.every((w) => searched[r.place].includes(w))) shown.push(r.place);
    }
    page = 0;
    order();
  }
  function order() {
    if (keys === null) keys = rows.map(COLUMNS[sorted][1]);
    const sign = descending ? -1 : 1;
    shown.sort((a, b) => (keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : a - b));
    show();
  }
  function show(all = false) {
    const pages = Math.max(1, Math.ceil(shown.length / SIZE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = all ? shown.slice(0, PRINTED) : shown.slice(page * SIZE, (page + 1) * SIZE);
    $("body").replaceChildren(...part.map((place) => line(rows[place])));
    $("shown").textContent = shown.length === rows.length ? `${rows.length.toLocaleString("en")} outcomes`
      : `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} outcomes`;
    $("page").textContent = `Page ${page + 1} of ${pages}`;
    $("first").disabled = $("previous").disabled = page === 0;
    $("next").disabled = $("last").disabled = page === pages - 1;
    $("pages").hidden = pages === 1;
    COLUMNS.forEach((_, i) => $("heads").children[i].setAttribute("aria-sort", i !== sorted ? "none" : descending ? "descending" : "ascending"));
    $("heads").querySelectorAll("button").forEach((b, i) => { b.textContent = COLUMNS[i][0] + (i !== sorted ? "" : descending ? " \u2193" : " \u2191"); });
  }
  function line(r) {
    const row = make("tr", { tabIndex: 0 });
    row.setAttribute("data-place", r.place);
    for (const [name, , text, kind] of COLUMNS) {
      const cell = make("td", { className: kind });
      if (name === "Status") cell.append(make("span", { className: "badge " + (KIND[r.status] || ""), textContent: r.status }));
      else cell.textContent = text(r);
      row.append(cell);
    }
    return row;
  }

  // -- one host ------------------------------------------------------------------------------------------------------
  const link = (r) => "#host=" + encodeURIComponent(`${r.technology}/${r.host}`);
  function pairs(list) {
    const names = make("dl", { className: "settings" });
    for (const [name, value] of list) if (value !== "" && value !== undefined && value !== null) names.append(make("dt", { textContent: name }), make("dd", { textContent: value }));
    return names;
  }
  function past([number, reason, record, submitted]) {
    return [`Attempt ${number}`, `${reason}${record ? ", with " + record : ""}${submitted ? ", a credential was sent" : ", no credential was sent"}`];
  }
  function open(r) {
    const longest = Math.max(1, ...r.phases.map(([, ms]) => ms));
    const ledger = make("div", { className: "ledger" });
    for (const [name, ms] of r.phases) {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, value] of [["width", Math.max(1, 100 * ms / longest)], ["height", 10]]) rect.setAttribute(key, value);
      bar.setAttribute("viewBox", "0 0 100 10");
      bar.setAttribute("preserveAspectRatio", "none");
      bar.setAttribute("aria-hidden", "true");
      if (name === r.phase && r.status !== "Passed") bar.classList.add("at");
      bar.append(rect);
      ledger.append(make("span", { textContent: name }), make("span", { textContent: time(ms) }), bar);
    }
    const close = make("button", { type: "button", className: "close", textContent: "Close" });
    close.addEventListener("click", () => $("detail").close());
    $("detail").replaceChildren(
      close,
      make("h2", { id: "detail-title", textContent: `${r.host}${r.port ? ":" + r.port : ""} (${r.technology})` }),
      make("p", {}, make("span", { className: "badge " + (KIND[r.status] || ""), textContent: r.status }), " \u00b7 ", make("code", { textContent: r.reason })),
      make("p", { textContent: r.why.meaning + (r.blocked ? ` Opened by ${r.blocked}.` : "") }),
      make("p", {}, make("strong", { textContent: "What to do: " }), r.why.advice),
      ...r.findings.map((text) => make("p", { className: "meta", textContent: text })),
      ...(r.evidence ? [make("h3", { textContent: "Evidence" }), make("pre", { textContent: r.evidence })] : []),
      ...(r.earlier.length ? [make("h3", { textContent: "Attempts before" }), pairs(r.earlier.map(past))] : []),
      make("h3", { textContent: r.attempts > 1 ? `Attempt ${r.attempts}, which decided` : "Attempt" }),
      pairs([["Name", r.dns], ["NetBIOS name", r.netbios], ["User", r.user], ["Record", r.record], ["Vault", r.vault], ["Secret", r.secret],
        ["Subnet", r.subnet], ["Owner of the cause", r.why.owner], ["Ended in phase", r.phase],
        ["Zone", r.zone], ["Appliance", r.appliance], ["Finished", r.finished], ...Object.entries(r.facts)]),
      ...(r.phases.length ? [make("h3", { textContent: `Phases, ${time(r.ms)} in all` }), ledger] : []));
    history.replaceState(null, "", link(r));
    $("detail").showModal();
  }
  $("detail").addEventListener("close", () => {
    const open = /^#host=/.test(location.hash) && rows.find((r) => link(r) === location.hash);
    history.replaceState(null, "", location.pathname + location.search);
    const row = open && $("body").querySelector(`[data-place="${open.place}"]`);
    if (row) row.focus();
  });
  function arrive() {
    const r = rows.find((one) => link(one) === location.hash);
    if (r && !$("detail").open) open(r);
  }

  // -- wiring --------------------------------------------------------------------------------------------------------
  COLUMNS.forEach(([name, , , kind], i) => {
    const button = make("button", { type: "button", textContent: name });
    button.addEventListener("click", () => {
      descending = sorted === i ? !descending : false;
      sorted = i; keys = null; page = 0;
      order();
    });
    const head = make("th", { scope: "col", className: kind }, button);
    $("heads").append(head);
  });
  $("body").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) open(rows[row.dataset.place]);
  });
  $("body").addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.key === "Enter") { event.preventDefault(); open(rows[row.dataset.place]); }
    const near = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
    if (near) { event.preventDefault(); near.focus(); }
  });
  $("search").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(filter));
  for (const button of document.querySelectorAll("[data-reason]")) {
    button.addEventListener("click", () => {
      $("filters").reset();
      setTimeout(() => { $("reason").value = "=" + button.dataset.reason; filter(); $("outcomes").scrollIntoView(); $("reason").focus(); });
    });
  }
  for (const [id, where] of [["first", () => 0], ["previous", () => page - 1], ["next", () => page + 1], ["last", () => Infinity]]) {
    $(id).addEventListener("click", () => { page = where(); show(); $("table").scrollIntoView({ block: "nearest" }); });
  }
  function dress(dark) {
    document.documentElement.classList.toggle("dark", dark);
    $("theme").setAttribute("aria-pressed", dark);
  }
  const dusk = matchMedia("(prefers-color-scheme: dark)");
  dress(dusk.matches);
  dusk.addEventListener("change", () => dress(dusk.matches));
  $("theme").addEventListener("click", () => dress(!document.documentElement.classList.contains("dark")));
  addEventListener("beforeprint", () => { dress(false); show(true); });
  addEventListener("afterprint", () => { dress(dusk.matches); show(); });
  addEventListener("hashchange", arrive);
  for (const id of ["filters", "table", "theme"]) $(id).hidden = false;
  order();
  arrive();
})();
