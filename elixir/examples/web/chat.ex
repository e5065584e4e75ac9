defmodule ChatPage.Chat do
  # What the page does, whichever server carries it.
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

  @page File.read!(Path.join(__DIR__, "page.html"))
  @external_resource Path.join(__DIR__, "page.html")

  @type event :: {name :: String.t(), text :: String.t(), id :: non_neg_integer()}

  @doc "The page itself."
  def html(page), do: String.replace(@page, "{{title}}", page.title)

  @doc """
  Whether a request comes from this page. A page of somebody else's must not chat here, by a form of
  its own or by a name that it lets point at this machine.
  """
  def allowed?(headers, %{port: port}) do
    hosts = for name <- ["127.0.0.1", "localhost"], do: "#{name}:#{port}"
    origins = for host <- hosts, do: "http://#{host}"
    headers["host"] in hosts and Map.get(headers, "origin", hd(origins)) in origins
  end

  @doc "How many requests the engine has in flight, as a text."
  def status(page) do
    with {:ok, engine} <- engine(page),
         {:ok, count} <- Vllm.AsyncLLM.get_num_unfinished_requests(engine) do
      Integer.to_string(count)
    else
      {:error, _error} -> "-"
    end
  end

  @doc """
  Begins an answer. The calling process gets its pieces as messages; when it ends, so does the request
  in the engine.
  """
  @spec ask(map(), String.t()) :: {:ok, Vllm.Stream.t()} | {:error, Vllm.Error.t()}
  def ask(page, form) do
    options = page.chat ++ [return_token_ids: true, rpc: [stream_to: self()]]

    with {:ok, messages} <- messages(form),
         {:ok, engine} <- engine(page),
         do: Vllm.stream_chat(engine, messages, options)
  end

  @doc "The events for a message of the stream, and whether more messages follow."
  @spec events(term(), non_neg_integer()) :: {:more | :last, [event()], non_neg_integer()}
  def events({:item, delta}, tokens) do
    # A slow consumer gets several tokens in one delta.
    tokens = tokens + length(delta.token_ids || [])
    done = if delta.usage, do: [{"done", cost(delta), tokens}], else: []
    {:more, [{"token", delta.content || "", tokens} | done], tokens}
  end

  def events(:done, tokens), do: {:last, [], tokens}
  def events({:error, error}, tokens), do: {:last, [failed(error, tokens)], tokens}

  @doc "The event for an error. Without its traceback, which is nothing for people on the web."
  def failed(error, tokens \\ 0), do: {"failed", error.message, tokens}

  defp cost(%{usage: usage, finish_reason: reason}) do
    numbers = [tokens: usage.completion_tokens, prompt_tokens: usage.prompt_tokens]
    URI.encode_query(numbers ++ [reason: reason])
  end

  defp engine(%{engine: engine}) when is_function(engine, 0), do: engine.()
  defp engine(%{engine: engine}), do: {:ok, engine}

  # The form has the fields `user` and `assistant` in the order in which they were said.
  defp messages(form) do
    messages =
      for {role, text} <- URI.query_decoder(form),
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
