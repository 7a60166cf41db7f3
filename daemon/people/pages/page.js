"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const range = slider.querySelector("input");
  if (!range) continue;
  const show = () => slider.style.setProperty("--at", range.value + "%");
  slider.classList.add("live");
  range.hidden = false;
  range.addEventListener("input", show);
  show();
}
for (const picture of document.querySelectorAll(".slider .after")) {
  const tell = () => picture.closest(".frame").classList.add("gone");
  picture.addEventListener("error", tell);
  if (picture.complete && !picture.naturalWidth) tell();
}
for (const time of document.querySelectorAll("time")) {
  time.title = time.textContent;
  time.textContent = new Date(time.dateTime).toLocaleString([], {
    dateStyle: "medium", timeStyle: "short",
  });
}
const written = document.querySelector("time[data-written]");
if (written) {
  const opened = Date.now();
  const seconds = () => (Date.now() - new Date(written.dateTime)) / 1000;
  const age = document.querySelector("[data-age]");
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const tell = () => {
    const found = units.find(([, length]) => seconds() >= length);
    const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });
    age.textContent = found
      ? " (" + words.format(-Math.floor(seconds() / found[1]), found[0]) + ")"
      : " (just now)";
  };
  tell();
  setInterval(tell, 20000);
  // Only what has just been opened can be called old: later there may be a newer one.
  const lost = document.querySelector("[data-lost]");
  if (lost && seconds() >= Number(lost.dataset.lost)) {
    lost.hidden = false;
    document.querySelector("main").classList.add("old");
  }
  // Not under the hands of somebody who is about to copy a name.
  const reload = () => {
    const isOld = Date.now() - opened >= 1000 * written.dataset.reload;
    if (isOld && !document.hidden && getSelection().isCollapsed) location.reload();
  };
  setInterval(reload, 2000);
  document.addEventListener("visibilitychange", reload);
}
