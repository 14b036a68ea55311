// Keeps a page fresh. Without it a page is whole, only as old as its loading.
//
// [data-refresh=N]: the page is fetched again every N seconds and this part replaced.
// [data-events=URL]: the part is replaced by what the server sends; [data-parts] are fetched again when the state changed.
(function () {
  "use strict";
  var lost = document.getElementById("lost");
  var RETRY_MS = 3000;

  function reached(yes) {
    lost.hidden = yes;
  }

  // Replaces the parts that the selector names by those of the page as it is now.
  function fetchParts(selector) {
    return fetch(location.href, { cache: "no-store" })
      .then(function (response) {
        return response.text();
      })
      .then(function (html) {
        reached(true);
        var page = new DOMParser().parseFromString(html, "text/html");
        var now = document.querySelectorAll(selector);
        var then = page.querySelectorAll(selector);
        if (now.length !== then.length) {
          location.reload();
          return;
        }
        for (var i = 0; i < now.length; i++) {
          if (now[i].innerHTML !== then[i].innerHTML) {
            now[i].innerHTML = then[i].innerHTML;
          }
        }
      })
      .catch(function () {
        reached(false);
      });
  }

  function refresh(part) {
    var seconds = Number(part.dataset.refresh);
    if (!seconds) {
      return;
    }
    var parts = (part.dataset.parts || "").split(" ").filter(Boolean);
    var selector = parts.map(function (id) { return "#" + id; }).concat("[data-refresh]").join(",");
    (function again() {
      setTimeout(function () {
        (document.hidden ? Promise.resolve() : fetchParts(selector)).then(again);
      }, seconds * 1000);
    })();
  }

  function state(part) {
    var shown = part.querySelector("[data-state]");
    return shown ? shown.dataset.state : "";
  }

  function follow(part) {
    var source = new EventSource(part.dataset.events);
    source.addEventListener("open", function () {
      reached(true);
    });
    source.addEventListener("ledger", function (event) {
      var before = state(part);
      part.innerHTML = event.data;
      document.getElementById("trouble").textContent = "";
      if (before && before !== state(part)) {
        fetchParts(part.dataset.parts.split(" ").map(function (id) { return "#" + id; }).join(","));
      }
    });
    source.addEventListener("trouble", function (event) {
      document.getElementById("trouble").innerHTML = event.data;
    });
    source.addEventListener("over", function () {
      source.close();
      location.reload();
    });
    source.onerror = function () {
      reached(false);
      // The browser tries again by itself unless the server refused.
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(function () { follow(part); }, RETRY_MS);
      }
    };
  }

  document.querySelectorAll("[data-refresh]").forEach(refresh);
  document.querySelectorAll("[data-events]").forEach(follow);
})();
