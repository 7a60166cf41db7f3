"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const range = slider.querySelector("input");
  if (!range) continue;
  const show = () => slider.style.setProperty("--at", range.value + "%");
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
  const age = document.querySelector("[data-age]");
  const stale = document.querySelector("[data-stale]");
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const tell = () => {
    const seconds = (Date.now() - new Date(written.dateTime)) / 1000;
    const found = units.find(([, length]) => seconds >= length);
    const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });
    age.textContent = found
      ? " (" + words.format(-Math.floor(seconds / found[1]), found[0]) + ")"
      : " (just now)";
    stale.hidden = seconds < 600;
  };
  tell();
  setInterval(tell, 20000);
}
