defmodule ChatPage.Cowboy do
  # The same page on Cowboy, which server.exs takes where it is there: with
  # `{:cowboy, "~> 2.9"}` beside vllm_bridge in Mix.install.
  #
  # Cowboy ends the process of a request when the browser closes the connection. So here too the request
  # in the engine ends with it.

  @behaviour :cowboy_loop

  alias ChatPage.Chat

  @max_body 256 * 1024

  @doc "As `ChatPage.start_link/1`. The listener belongs to Ranch, which is an application."
  def start_link(options) do
    {:ok, _started} = Application.ensure_all_started(:cowboy)
    page = ChatPage.page(options)
    routes = :cowboy_router.compile([{:_, [{:_, __MODULE__, page}]}])

    # An answer may take longer than the minute without a word from the browser that Cowboy allows.
    protocol = %{env: %{dispatch: routes}, idle_timeout: :infinity}
    transport = [ip: {127, 0, 0, 1}, port: Keyword.get(options, :port, 0)]

    with {:ok, pid} <- :cowboy.start_clear(__MODULE__, transport, protocol),
         do: {:ok, pid}
  end

  def port(_page), do: :ranch.get_port(__MODULE__)

  @impl true
  def init(request, page) do
    page = %{page | port: port(page)}

    if Chat.allowed?(request.headers, page),
      do: answer({request.method, request.path}, request, page),
      else: {:ok, :cowboy_req.reply(403, request), page}
  end

  # The state of an answer is its stream and the number of tokens so far.
  @impl true
  def info({:vllm, stream, message}, request, {stream, tokens}) do
    {follows, events, tokens} = Chat.events(message, tokens)
    for event <- events, do: send_event(event, request)

    case follows do
      :more -> {:ok, request, {stream, tokens}}
      :last -> {:stop, request, {stream, tokens}}
    end
  end

  def info(_other, request, state), do: {:ok, request, state}

  defp answer({"GET", "/"}, request, page),
    do: reply(request, "text/html; charset=utf-8", Chat.html(page))

  defp answer({"GET", "/status"}, request, page),
    do: reply(request, "text/plain", Chat.status(page))

  defp answer({"POST", "/chat"}, request, page) do
    case :cowboy_req.read_body(request, %{length: @max_body}) do
      {:ok, form, request} -> begin_events(request, Chat.ask(page, form))
      {:more, _part, request} -> {:ok, :cowboy_req.reply(413, request), page}
    end
  end

  defp answer(_other, request, page), do: {:ok, :cowboy_req.reply(404, request), page}

  defp begin_events(request, asked) do
    headers = %{"content-type" => "text/event-stream", "cache-control" => "no-store"}
    request = :cowboy_req.stream_reply(200, headers, request)

    case asked do
      {:ok, stream} ->
        {:cowboy_loop, request, {stream, 0}}

      {:error, error} ->
        send_event(Chat.failed(error), request)
        {:ok, request, nil}
    end
  end

  defp reply(request, type, body) do
    headers = %{"content-type" => type, "cache-control" => "no-store"}
    {:ok, :cowboy_req.reply(200, headers, body, request), nil}
  end

  defp send_event({name, text, id}, request) do
    event = %{event: name, id: Integer.to_string(id), data: text}
    :cowboy_req.stream_events(event, :nofin, request)
  end
end
