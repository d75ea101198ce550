// Keys of the review page: each moves the focus to its button, so that a second, deliberate key decides.
// Nothing here is needed to decide: without script the page is a plain form.
"use strict";

(function () {
  const page = document.querySelector("[data-console-review]");
  if (!page) return;

  const typing = (element) => element && (element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(document.activeElement)) {
      document.activeElement.blur();
      return;
    }
    if (typing(event.target)) return;
    const target = event.key === "j"
      ? document.getElementById("c-justification")
      : page.querySelector('[data-key="' + CSS.escape(event.key) + '"]');
    if (!target) return;
    event.preventDefault();
    target.focus();
    target.scrollIntoView({ block: "nearest" });
  });

  // A second press of a button while the first is on its way would only be refused as a repetition.
  const form = page.querySelector("[data-console-decide]");
  if (form) {
    form.addEventListener("submit", () => {
      window.setTimeout(() => form.querySelectorAll("button[name=decision]").forEach((button) => { button.disabled = true; }));
    });
  }

  const errors = page.querySelector("[data-console-errors]");
  if (errors) errors.focus();

  // While the forge is at work the page looks again by itself, unless something is being written.
  const waiting = page.querySelector("[data-console-refresh]");
  if (waiting) {
    const seconds = Number(waiting.dataset.consoleRefresh) || 4;
    window.setInterval(() => {
      const written = Array.from(page.querySelectorAll("textarea")).some((field) => field.value !== field.defaultValue);
      if (!document.hidden && !written && !typing(document.activeElement)) window.location.reload();
    }, seconds * 1000);
  }
})();
