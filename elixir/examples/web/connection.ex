defmodule ChatPage.Connection do
  # One connection of a browser: reads a request and answers it.
  #
  #     GET  /        the page
  #     GET  /status  how many requests the engine has in flight
  #     POST /chat    the conversation as a form; the answer as server-sent events
  #
  # Events of an answer:
  #
  #     token   a piece of the text; its id is the number of tokens so far
  #     done    what it cost, as "tokens=12&prompt_tokens=30&reason=stop"
  #     failed  the message of a Vllm.Error

  alias ChatPage.HTTP

  @page File.read!(Path.join(__DIR__, "page.html"))
  @external_resource Path.join(__DIR__, "page.html")

  @doc "Serves a connection until it is closed."
  def serve(socket, page) do
    with {:ok, request} <- HTTP.read(socket),
         :ok <- check_host(request, page) do
      answer(request, socket, page)
    else
      {:error, status} when is_integer(status) -> HTTP.respond(socket, status, "text/plain", "")
      {:error, _closed} -> :ok
    end

    :gen_tcp.close(socket)
  end

  # A page of somebody else's must not chat here, by its own form or by a name that it lets point at
  # this machine.
  defp check_host(%{headers: headers}, %{port: port}) do
    hosts = for name <- ["127.0.0.1", "localhost"], do: "#{name}:#{port}"
    origins = for host <- hosts, do: "http://#{host}"

    if headers["host"] in hosts and Map.get(headers, "origin", hd(origins)) in origins,
      do: :ok,
      else: {:error, 403}
  end

  defp answer(%{method: "GET", path: "/"}, socket, page) do
    HTTP.respond(
      socket,
      200,
      "text/html; charset=utf-8",
      String.replace(@page, "{{title}}", page.title)
    )
  end

  defp answer(%{method: "GET", path: "/status"}, socket, page) do
    with {:ok, engine} <- engine(page),
         {:ok, count} <- Vllm.AsyncLLM.get_num_unfinished_requests(engine) do
      HTTP.respond(socket, 200, "text/plain", Integer.to_string(count))
    else
      {:error, _error} -> HTTP.respond(socket, 200, "text/plain", "-")
    end
  end

  defp answer(%{method: "POST", path: "/chat", body: body}, socket, page) do
    options = page.chat ++ [return_token_ids: true, rpc: [stream_to: self()]]
    HTTP.begin_events(socket)

    with {:ok, messages} <- messages(body),
         {:ok, engine} <- engine(page),
         {:ok, stream} <- Vllm.stream_chat(engine, messages, options) do
      # From here on the end of the connection is a message too.
      :ok = :inet.setopts(socket, active: :once)
      pass_on(stream, socket, 0)
    else
      {:error, error} -> HTTP.send_event(socket, "failed", error.message)
    end
  end

  defp answer(_request, socket, _page), do: HTTP.respond(socket, 404, "text/plain", "not found")

  # Returning ends this process, and the request in the engine with it.
  defp pass_on(stream, socket, tokens) do
    receive do
      {:vllm, ^stream, {:item, delta}} ->
        # A slow consumer gets several tokens in one delta.
        tokens = tokens + length(delta.token_ids || [])
        HTTP.send_event(socket, "token", delta.content || "", tokens)
        if delta.usage, do: HTTP.send_event(socket, "done", cost(delta))
        pass_on(stream, socket, tokens)

      {:vllm, ^stream, :done} ->
        :ok

      {:vllm, ^stream, {:error, error}} ->
        # Without its traceback, which is nothing for people on the web.
        HTTP.send_event(socket, "failed", error.message)

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

  defp cost(%{usage: usage, finish_reason: reason}) do
    URI.encode_query(
      tokens: usage.completion_tokens,
      prompt_tokens: usage.prompt_tokens,
      reason: reason
    )
  end

  defp engine(%{engine: engine}) when is_function(engine, 0), do: engine.()
  defp engine(%{engine: engine}), do: {:ok, engine}

  # The form has the fields `user` and `assistant` in the order in which they were said.
  defp messages(body) do
    messages =
      for {role, text} <- URI.query_decoder(body),
          role in ["user", "assistant"],
          do: %{role: role, content: text}

    case List.last(messages) do
      %{role: "user"} ->
        {:ok, messages}

      _other ->
        {:error, Vllm.Error.exception(kind: :invalid, message: "the last message is no question")}
    end
  end
end
