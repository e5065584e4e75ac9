defmodule ChatPage.Connection do
  # One connection of a browser: reads a request and answers it.

  alias ChatPage.{Chat, HTTP}

  @doc "Serves a connection until it is closed."
  def serve(socket, page) do
    with {:ok, request} <- HTTP.read(socket) do
      if Chat.allowed?(request.headers, page),
        do: answer(request, socket, page),
        else: HTTP.respond(socket, 403, "text/plain", "")
    else
      {:error, status} when is_integer(status) -> HTTP.respond(socket, status, "text/plain", "")
      {:error, _closed} -> :ok
    end

    :gen_tcp.close(socket)
  end

  defp answer(%{method: "GET", path: "/"}, socket, page),
    do: HTTP.respond(socket, 200, "text/html; charset=utf-8", Chat.html(page))

  defp answer(%{method: "GET", path: "/status"}, socket, page),
    do: HTTP.respond(socket, 200, "text/plain", Chat.status(page))

  defp answer(%{method: "POST", path: "/chat", body: form}, socket, page) do
    HTTP.begin_events(socket)

    case Chat.ask(page, form) do
      {:ok, stream} ->
        # From here on the end of the connection is a message too.
        :ok = :inet.setopts(socket, active: :once)
        pass_on(stream, socket, 0)

      {:error, error} ->
        HTTP.send_event(socket, Chat.failed(error))
    end
  end

  defp answer(_request, socket, _page), do: HTTP.respond(socket, 404, "text/plain", "not found")

  # Returning ends this process, and the request in the engine with it.
  defp pass_on(stream, socket, tokens) do
    receive do
      {:vllm, ^stream, message} ->
        {follows, events, tokens} = Chat.events(message, tokens)
        for event <- events, do: HTTP.send_event(socket, event)
        if follows == :more, do: pass_on(stream, socket, tokens)

      # The browser has stopped, or the tab is closed.
      {:tcp_closed, ^socket} ->
        :ok

      {:tcp_error, ^socket, _reason} ->
        :ok

      # Nothing may follow the request.
      {:tcp, ^socket, _data} ->
        :ok
    end
  end
end
