/** Shown to browsers for an address that does not exist. */
export function NotFound() {
  return (
    <>
      <h1>Not found</h1>
      <p>
        There is no page at this address. The <a href="/docs">developer channel</a> explains how to send a request, and
        the <a href="/models">model directory</a> lists every model.
      </p>
      <p>
        Looking for the console? A deployment that names a host in <code>FLOW_ADMIN_HOST</code> serves it there only.
        Ask its operator for that address.
      </p>
    </>
  );
}
