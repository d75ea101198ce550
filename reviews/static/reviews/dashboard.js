// The live page: follows /hitl/ws, keeps the last position, comes back by itself and shows when it is not connected.
(function () {
  "use strict";

  const start = JSON.parse(document.getElementById("start").textContent);
  const words = start.words;
  const channels = ["apvs", "wargames", "decisions", "stats"];
  const severities = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "NONE", "UNKNOWN"];
  const link = document.getElementById("link");
  const feed = document.getElementById("feed");
  const FEED = 80, CARDS = 40, PING = 20000, SILENCE = 45000;

  let position = start.position;
  let socket = null;
  let attempts = 0;
  let heardAt = 0;
  let timer = null;

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    // textContent only: what advisories and repositories say is never markup here.
    if (text !== undefined && text !== null) made.textContent = String(text);
    return made;
  }

  function showLink(state, text) {
    link.dataset.state = state;
    link.querySelector(".text").textContent = text;
  }

  function verdictWords(verdict) {
    return words["verdict_" + verdict] || verdict.toLowerCase().replaceAll("_", " ");
  }

  // ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────
  function showFigures(figures) {
    document.querySelectorAll("[data-figure]").forEach(function (place) {
      const value = figures[place.dataset.figure];
      place.textContent = value === undefined ? "–" : value;
    });
    const state = figures.balance && figures.balance.state;
    const place = document.getElementById("balance");
    if (place && state) {
      place.textContent = start.words["balance_" + state] || state;
      place.dataset.state = state;
    }
    if (figures.by_status) {
      byStatus = figures.by_status;
      count();
    }
    const counts = figures.by_severity || figures.live_apvs_by_severity || {};
    const box = document.getElementById("severities");
    const bar = box.querySelector(".bar");
    const list = box.querySelector("ul");
    bar.replaceChildren();
    list.replaceChildren();
    severities.forEach(function (name) {
      if (!counts[name]) return;
      const part = element("span", "severity-" + name.toLowerCase());
      part.style.flexGrow = counts[name];
      bar.append(part);
      const item = element("li");
      item.append(element("span", "mark severity-" + name.toLowerCase()), element("span", "", (words["severity_" + name] || name.toLowerCase()) + " " + counts[name]));
      list.append(item);
    });
  }

  // ── the board ────────────────────────────────────────────────────────────────────────────────────────────────────────
  const cards = new Map();

  function column(status) {
    const found = document.querySelector('.column[data-status="' + CSS.escape(status) + '"]');
    return found ? found.querySelector("ol") : null;
  }

  // A column shows the latest cards only; how many there are the figures say. What they do not count is counted by its cards.
  let byStatus = {};

  function count() {
    document.querySelectorAll(".column").forEach(function (place) {
      const cards = place.querySelectorAll("li").length;
      place.querySelector(".count").textContent = Math.max(cards, byStatus[place.dataset.status] || 0);
    });
  }

  function card(apv, fresh) {
    let item = cards.get(apv.code);
    const known = item ? item.known : {};
    const merged = Object.assign({}, known);
    Object.keys(apv).forEach(function (key) { if (apv[key]) merged[key] = apv[key]; });
    if (!item) {
      item = element("li", "card");
      cards.set(apv.code, item);
    }
    item.known = merged;
    item.dataset.severity = (merged.severity || "UNKNOWN").toLowerCase();
    const head = element("p", "head");
    head.append(element("span", "code", merged.code), element("span", "priority", merged.priority || ""));
    const foot = element("p", "foot");
    foot.append(element("span", "package", merged.package || ""));
    if (merged.verdict) foot.append(element("span", "verdict verdict-" + merged.verdict.toLowerCase(), verdictWords(merged.verdict)));
    item.replaceChildren(head, foot);
    const place = column(merged.status || "open");
    if (!place) {
      // Suppressed, failed and the like have no column: the card leaves the board, the feed tells.
      item.remove();
    } else if (item.parentElement !== place || fresh) {
      place.prepend(item);
      while (place.children.length > CARDS) {
        cards.delete(place.lastElementChild.known.code);
        place.lastElementChild.remove();
      }
    }
    if (fresh) {
      item.classList.remove("moved");
      void item.offsetWidth; // starts the animation anew
      item.classList.add("moved");
    }
  }

  // ── feeds ────────────────────────────────────────────────────────────────────────────────────────────────────────────
  function line(frame, parts) {
    const item = element("li", "line type-" + frame.type);
    const at = element("time", "", new Date(frame.timestamp).toLocaleTimeString(document.documentElement.lang));
    at.dateTime = frame.timestamp;
    item.append(at, element("b", "", words[frame.type] || frame.type));
    parts.filter(Boolean).forEach(function (part) { item.append(element("span", "", part)); });
    item.dataset.position = frame.position;
    return item;
  }

  function put(list, item, most) {
    const empty = list.querySelector(".empty");
    if (empty) empty.remove();
    list.prepend(item);
    while (list.children.length > most) list.lastElementChild.remove();
  }

  const wargames = new Map();
  const RUNS = 12;

  function showWargame(frame) {
    const data = frame.data;
    let item = wargames.get(frame.subject);
    if (!item) {
      item = element("li", "wargame");
      item.steps = 0;
      wargames.set(frame.subject, item);
    }
    const done = frame.type === "wargame_finished";
    // Four runs, each three times where that is cheap.
    item.steps = done ? RUNS : Math.min(item.steps + (data.outcome ? 1 : 0), RUNS);
    const bar = element("progress");
    bar.max = RUNS;
    bar.value = done ? bar.max : item.steps;
    const verdict = (data.verdict || data.reason || "").toLowerCase();
    const said = done ? verdictWords(data.verdict || data.reason || "") : [data.step || data.what, data.phase, data.outcome].filter(Boolean).join(" ").replaceAll("_", " ") || frame.kind.split(".")[1];
    const code = data.apv_code || item.code || "";
    item.code = code;
    const top = element("p", "head");
    top.append(element("span", "code", code), element("span", done ? "verdict verdict-" + verdict : "step", said));
    item.replaceChildren(top, bar);
    put(document.getElementById("wargames"), item, 12);
    if (done && code) card({ code: code, verdict: data.verdict, status: known(code) }, false);
  }

  function known(code) {
    const item = cards.get(code);
    return item ? item.known.status : "";
  }

  function show(frame) {
    const data = frame.data || {};
    const move = data.from && data.to ? data.from + " → " + data.to : "";
    const codes = data.apv_code || (Array.isArray(data.apvs) ? data.apvs.join(", ") : "");
    if (frame.type === "stats_update") { showFigures(data); return; }
    if (frame.type === "new_apv") {
      card({ code: data.apv_code, status: data.status || "open", severity: data.severity, priority: data.priority, package: data.package }, true);
    } else if (frame.type === "apv_moved" && data.apv_code) {
      card({ code: data.apv_code, status: data.to, severity: data.severity, package: data.package, verdict: data.verdict }, true);
    } else if (frame.channel === "wargames") {
      showWargame(frame);
    }
    const parts = [codes, data.type, move, data.step, data.outcome, data.verdict, data.kind, data.state, data.why, data.reason];
    const item = line(frame, parts);
    if (frame.channel === "decisions") put(document.getElementById("decisions"), item.cloneNode(true), 20);
    put(feed, item, FEED);
    count();
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────────
  function keep(at) {
    if (typeof at !== "number" || at <= position) return;
    position = at;
    document.getElementById("position").textContent = position;
  }

  function connect() {
    timer = null;
    showLink("connecting", words.connecting);
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    socket = new WebSocket(scheme + location.host + "/hitl/ws");
    socket.onmessage = function (message) {
      heardAt = Date.now();
      const frame = JSON.parse(message.data);
      if (frame.type === "connection_ack") {
        socket.send(JSON.stringify({ type: "subscribe", channels: channels, since: position }));
      } else if (frame.type === "subscription_confirmed") {
        attempts = 0;
        showLink("live", words.connected);
      } else if (frame.type === "resync") {
        showLink("connecting", words.resynced);
        socket.onclose = null;
        location.reload();
      } else if (frame.type === "pong") {
        keep(frame.position);
      } else if (frame.type === "error") {
        console.error("live feed:", frame.error_code, frame.error_message);
      } else if (frame.position !== undefined) {
        if (frame.type !== "stats_update" && frame.position <= position) return;
        keep(frame.position);
        show(frame);
      }
    };
    socket.onclose = function (event) {
      socket = null;
      if (event.code === 4401) { showLink("ended", words.ended); return; }
      again();
    };
  }

  function again() {
    // Doubling, with a random part so that many pages do not come back in the same moment.
    const wait = Math.min(30, Math.pow(2, attempts)) * (0.5 + Math.random() / 2);
    attempts += 1;
    showLink("disconnected", words.disconnected.replace("%s", Math.max(1, Math.round(wait))));
    timer = setTimeout(connect, wait * 1000);
  }

  setInterval(function () {
    if (!socket || socket.readyState !== WebSocket.OPEN) return;
    if (Date.now() - heardAt > SILENCE) { socket.close(); return; }
    socket.send(JSON.stringify({ type: "ping" }));
  }, PING);
  window.addEventListener("online", function () {
    if (timer) { clearTimeout(timer); connect(); }
  });

  start.apvs.slice().reverse().forEach(function (apv) { card(apv, false); });
  count();
  showFigures(start.figures);
  document.getElementById("position").textContent = position;
  if (start.enabled) connect(); else showLink("off", words.off);
})();
