// Forms with data-passkey ask the browser for a passkey ("create" or "get") and send what it answers as JSON.
function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}
function text(buffer) {
  const plain = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
function read(options) {
  const key = Object.assign({}, options.publicKey, { challenge: bytes(options.publicKey.challenge) });
  if (key.user) key.user = Object.assign({}, key.user, { id: bytes(key.user.id) });
  for (const list of ["allowCredentials", "excludeCredentials"]) {
    if (key[list]) key[list] = key[list].map((one) => Object.assign({}, one, { id: bytes(one.id) }));
  }
  return { publicKey: key };
}
function written(credential) {
  const response = {};
  for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[part]) response[part] = text(credential.response[part]);
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response: response });
}

document.querySelectorAll("form[data-passkey]").forEach(function (form) {
  const said = form.querySelector("[role=status]");
  form.addEventListener("submit", async function (event) {
    if (form.elements.passkey.value) return; // answered: send it
    event.preventDefault();
    if (!window.PublicKeyCredential) {
      said.textContent = "This browser knows no passkeys, or not on this address.";
      return;
    }
    const options = read(JSON.parse(document.getElementById("passkey-options").textContent));
    try {
      form.elements.passkey.value = written(await navigator.credentials[form.dataset.passkey](options));
    } catch (error) {
      said.textContent = error.name === "InvalidStateError" ? "This passkey is set up here already." : "Nothing was chosen. Try again.";
      return;
    }
    form.submit();
  });
});
