// The page of a kept plan: the draft that became it is no longer needed.
try {
  const sent = sessionStorage.getItem("ce-draft-sent");
  if (sent) localStorage.removeItem(sent);
  sessionStorage.removeItem("ce-draft-sent");
} catch (error) {
  // A browser that keeps nothing has nothing to forget.
}
