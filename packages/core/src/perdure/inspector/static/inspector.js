// What pages do beyond links and forms: theme, keys, stepping without a reload, and what comes live.
"use strict";

const root = document.documentElement;
const one = (selector) => document.querySelector(selector);

const theme = {
  read() { try { return localStorage.getItem("perdure-theme"); } catch { return null; } },
  write(value) { try { localStorage.setItem("perdure-theme", value); } catch { /* it lasts for this page */ } },
  now() { return root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"); },
};
if (theme.read() === "dark" || theme.read() === "light") root.dataset.theme = theme.read();

document.addEventListener("DOMContentLoaded", () => {
  const button = one("#theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = theme.now() === "dark" ? "light" : "dark";
    theme.write(root.dataset.theme);
  });
  document.addEventListener("keydown", searchBySlash);
  if (one("#place")) walk();
  if (one("#pulse")) listen();
});

function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=range], [type=checkbox]), textarea, select");
}

function searchBySlash(event) {
  const search = one("input[type=search]");
  if (event.key !== "/" || !search || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  search.focus();
  search.select();
}

// Steps through the history of an actor. One request is under way at a time; of those that wait, the last one counts.
function walk() {
  const place = one("#place"), follow = one("#follow"), trouble = one("#trouble");
  const id = new URLSearchParams(location.search).get("id");
  const query = (at) => new URLSearchParams({ id, at });
  let wanted = null, heads = null, isFetching = false;

  async function show() {
    if (isFetching) return;
    isFetching = true;
    while (wanted !== null) {
      const at = wanted;
      wanted = null;
      try {
        const answer = await fetch(`step?${query(at)}`);
        if (!answer.ok) throw new Error(answer.status === 401 ? "Open the page anew: its token is no longer good." : `Event ${at} cannot be shown: ${answer.statusText}.`);
        take(await answer.text());
        trouble.hidden = true;
      } catch (error) {
        trouble.textContent = error instanceof TypeError ? "The inspector does not answer." : error.message;
        trouble.hidden = false;
      }
    }
    isFetching = false;
  }

  function take(html) {
    const focused = document.activeElement?.closest("#step a[rel]")?.rel;
    const parts = document.createElement("template");
    parts.innerHTML = html;
    const step = parts.content.querySelector("#step");
    one("#step").replaceWith(step);
    if (focused) one(`#step a[rel=${focused}]`)?.focus();
    grow(Number(step.dataset.last));
    if (wanted === null) place.value = step.dataset.number;
    place.setAttribute("aria-valuetext", step.dataset.says);
    for (const side of ["x1", "x2"]) one("#here")?.setAttribute(side, step.dataset.x);
    history.replaceState(null, "", `actor?${query(step.dataset.number)}`);
  }

  function grow(last) {
    if (last <= Number(place.max)) return;
    place.max = last;
    one("#last").textContent = last.toLocaleString("en");
  }

  function go(at) {
    wanted = Math.min(Math.max(at, Number(place.min)), Number(place.max));
    place.value = wanted;
    show();
  }

  const keys = {
    ArrowLeft: () => Number(place.value) - 1, ArrowRight: () => Number(place.value) + 1,
    Home: () => Number(place.min), End: () => Number(place.max),
  };
  document.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(keys[event.key]());
  });
  place.addEventListener("input", () => go(Number(place.value)));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-at]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(Number(link.dataset.at));
  });
  follow.closest("label").hidden = false;
  follow.checked = false;
  follow.addEventListener("change", () => {
    heads?.close();
    if (!follow.checked) return;
    go(Number(place.max));
    heads = new EventSource(`live/head?${query(place.max)}`);
    heads.addEventListener("head", (event) => { grow(Number(event.data)); go(Number(event.data)); });
  });
}

// Shows what is stored as it comes, and how much of it in each of the last sixty seconds.
function listen() {
  const MOST_ROWS = 200;
  const events = one("#events"), status = one("#status"), quiet = one("#quiet"), pause = one("#pause");
  const bars = [...document.querySelectorAll("#pulse rect")], counts = bars.map(() => 0);
  const held = document.createDocumentFragment();
  const isPaused = () => pause.getAttribute("aria-pressed") === "true";

  status.textContent = "reading to the end…";
  pause.hidden = false;
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!isPaused()));
    if (!isPaused()) put(held);
  });

  function put(rows) {
    if (!rows.childElementCount) return;
    events.prepend(rows);
    while (events.childElementCount > MOST_ROWS) events.lastElementChild.remove();
    quiet.hidden = true;
  }

  const source = new EventSource("live/events");
  source.addEventListener("ready", () => {
    status.textContent = "listening";
    quiet.hidden = events.childElementCount > 0;
  });
  source.addEventListener("events", (event) => {
    const parts = document.createElement("template");
    parts.innerHTML = event.data;
    const rows = [...parts.content.children];
    counts[counts.length - 1] += rows.length;
    held.prepend(...rows.reverse());
    while (held.childElementCount > MOST_ROWS) held.lastElementChild.remove();
    status.textContent = "listening";
    if (!isPaused()) put(held);
    draw();
  });
  source.addEventListener("error", () => { status.textContent = "the inspector does not answer; trying again…"; });

  function draw() {
    const most = Math.max(...counts, 1);
    bars.forEach((bar, at) => {
      const height = counts[at] && Math.max(1, 28 * counts[at] / most);
      bar.setAttribute("height", height);
      bar.setAttribute("y", 30 - height);
    });
    one("#rate").textContent = `${counts[counts.length - 2].toLocaleString("en")}/s, at most ${Math.max(...counts).toLocaleString("en")}/s`;
  }
  setInterval(() => { counts.shift(); counts.push(0); draw(); }, 1000);
}
