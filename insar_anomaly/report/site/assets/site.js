// What every page does: ages of dates, and buttons that copy a command.
'use strict';
(function () {
  const DAY = 86400000;
  for (const one of document.querySelectorAll('time[data-age]')) {
    const days = Math.floor((Date.now() - Date.parse(one.getAttribute('datetime'))) / DAY);
    if (days >= 0) one.insertAdjacentText('afterend', ' (' + days + (days === 1 ? ' day' : ' days') + ' ago)');
  }
  for (const one of document.querySelectorAll('button[data-copy]')) {
    one.addEventListener('click', function () {
      const code = document.getElementById(one.dataset.copy);
      const range = document.createRange();
      range.selectNodeContents(code);
      const chosen = getSelection();
      chosen.removeAllRanges();
      chosen.addRange(range);
      // pages opened from a folder may not use the clipboard: then the command stays selected
      Promise.resolve().then(() => navigator.clipboard.writeText(code.textContent)).then(
        () => { one.textContent = 'copied'; }, () => { one.textContent = 'selected'; });
    });
  }
})();
