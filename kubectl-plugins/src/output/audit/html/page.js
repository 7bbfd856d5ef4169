(function () {
  "use strict";
  var form = document.getElementById("filter");
  if (!form) { return; }
  var findings = Array.prototype.slice.call(document.querySelectorAll("article"));
  function apply() {
    var namespace = form.elements.namespace.value, shown = 0, wanted = {};
    form.querySelectorAll("input[name=severity]").forEach(function (box) { wanted[box.value] = box.checked; });
    findings.forEach(function (finding) {
      var elsewhere = namespace !== "" ? finding.dataset.namespace !== namespace : false;
      finding.hidden = elsewhere || !wanted[finding.dataset.severity];
      shown += finding.hidden ? 0 : 1;
    });
    form.elements.shown.value = shown + " of " + findings.length + " shown";
  }
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (more) { more.open = true; });
  });
  apply();
})();
