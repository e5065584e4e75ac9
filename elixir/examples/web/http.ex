defmodule ChatPage.HTTP do
  # As much of HTTP/1.1 as this page needs, on Erlang's own parser (`packet: :http_bin`): one request
  # for each connection, and bodies whose length is known. In an application of yours this part is
  # Phoenix's, Bandit's or Cowboy's.

  @max_headers 100
  @max_body 256 * 1024
  # Milliseconds that a browser may take to send its request.
  @timeout 10_000

  @type request :: %{method: String.t(), path: String.t(), headers: map(), body: binary()}

  @doc "Opens a listener on the loopback address. Port 0 picks a free one, which is returned."
  def listen(port) do
    options = [ip: {127, 0, 0, 1}, packet: :http_bin, active: false, reuseaddr: true]
    # A browser that does not read is no longer waited for.
    sending = [send_timeout: 30_000, send_timeout_close: true, nodelay: true]

    with {:ok, listener} <- :gen_tcp.listen(port, [:binary | options ++ sending]),
         {:ok, port} <- :inet.port(listener),
         do: {:ok, listener, port}
  end

  @doc "Reads a request."
  @spec read(:gen_tcp.socket()) :: {:ok, request()} | {:error, term()}
  def read(socket) do
    with {:ok, {:http_request, method, {:abs_path, path}, _version}} <- receive_from(socket, 0),
         {:ok, headers} <- headers(socket, %{}),
         :ok = :inet.setopts(socket, packet: :raw),
         {:ok, body} <- body(socket, headers) do
      {:ok, %{method: to_string(method), path: path, headers: headers, body: body}}
    else
      {:ok, _no_request} -> {:error, 400}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc "Sends a whole response."
  def respond(socket, status, type, body) do
    send_head(socket, status, [
      {"content-type", type},
      {"content-length", Integer.to_string(byte_size(body))},
      {"cache-control", "no-store"}
    ])

    :gen_tcp.send(socket, body)
  end

  @doc "Begins a response of server-sent events, which ends when the connection is closed."
  def begin_events(socket) do
    send_head(socket, 200, [{"content-type", "text/event-stream"}, {"cache-control", "no-store"}])
  end

  @doc """
  Sends an event. A line of `data:` for each line of the text: this is how server-sent events carry
  any text, so that JSON is not needed.
  """
  def send_event(socket, {name, text, id}) do
    lines = for line <- String.split(text, ["\r\n", "\n", "\r"]), do: ["data: ", line, "\n"]
    :gen_tcp.send(socket, ["event: ", name, "\nid: ", Integer.to_string(id), "\n", lines, "\n"])
  end

  defp send_head(socket, status, headers) do
    lines = for {name, value} <- headers, do: [name, ": ", value, "\r\n"]

    head = [
      ["HTTP/1.1 ", Integer.to_string(status), " ", reason(status), "\r\n"],
      [lines, "connection: close\r\n\r\n"]
    ]

    :gen_tcp.send(socket, head)
  end

  defp reason(200), do: "OK"
  defp reason(400), do: "Bad Request"
  defp reason(403), do: "Forbidden"
  defp reason(404), do: "Not Found"
  defp reason(413), do: "Content Too Large"

  defp headers(_socket, headers) when map_size(headers) > @max_headers, do: {:error, 400}

  defp headers(socket, headers) do
    case receive_from(socket, 0) do
      {:ok, {:http_header, _bit, name, _reserved, value}} ->
        headers(socket, Map.put(headers, name |> to_string() |> String.downcase(), value))

      {:ok, :http_eoh} ->
        {:ok, headers}

      other ->
        other
    end
  end

  defp body(socket, headers) do
    case Integer.parse(Map.get(headers, "content-length", "0")) do
      {0, ""} -> {:ok, ""}
      {length, ""} when length in 1..@max_body -> receive_from(socket, length)
      {length, ""} when length > @max_body -> {:error, 413}
      _no_length -> {:error, 400}
    end
  end

  defp receive_from(socket, length), do: :gen_tcp.recv(socket, length, @timeout)
end
