defmodule Vllm.Core.Call.Arguments do
  @moduledoc false
  # Turns the arguments of an Elixir function into those of a Python call: the instance to run on, the
  # positional and the named arguments, and the bridge's own options.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Options
  alias Vllm.Core.Instance.{Default, Locator}

  @rpc [
    {:timeout, :timeout, nil,
     "milliseconds from sending the request to its end, which for a stream is the last item. Then " <>
       "the call is aborted in the worker and returns `:timeout`. Defaults to 60 s unless the " <>
       "function says otherwise: building an engine, streams and waiting for requests have no " <>
       "limit."},
    {:window, {:range, 1, 1_000_000}, 64,
     "how many items of a stream the worker may be ahead of its consumer."},
    {:stream_to, :pid, nil,
     "a process to send the items to, see `Vllm.Stream`. The call then returns " <>
       "`{:ok, stream}` with a stream that only tags the messages and can be cancelled."},
    {:affinity, :term, nil,
     "for requests through the name of a `Vllm.Pool`: those with the same key, any term but `nil`, go to " <>
       "the same member. Without a pool it has no effect."},
    {:items, {:in, [:outputs, :text, :token_ids]}, :outputs,
     "what the items of `generate` are. With `:text` each is the text that is new since the item " <>
       "before, a string, and with `:token_ids` a list of the new ids, whatever the output kind. " <>
       "That costs less, and what else an output says, such as its finish reason, is not sent. " <>
       "Not with `n` above 1 or with logprobs."},
    {:link, :boolean, false,
     "for functions that build an engine: shut it down when the calling process ends, or when the " <>
       "session with a worker that was started elsewhere is lost."},
    {:trace, :boolean, true,
     "for functions that take `trace_headers`, where none are given: send the calling process's " <>
       "OpenTelemetry context in them, if there is one."}
  ]

  @keys [:rpc, :__runtime__]

  # A reference as the first argument says where to run the call. References to these classes are
  # arguments as well, and the call runs where they are.
  @argument_classes ["AsyncEngineArgs", "VllmConfig"]

  # The worker ends a session that sends a message of more than 256 MiB (MAX_MESSAGE_BYTES in its
  # settings), and its engines with it. 1 MiB is left for the rest of the frame.
  @max_argument_bytes 255 * 1024 * 1024

  # Of a method or a class. An atom has up to 255 characters of four bytes.
  @max_name_bytes 1024

  {:ok, defaults} = Options.validate(@rpc, [], "rpc")
  @defaults defaults

  @doc "The documentation of the bridge's options."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@rpc)

  @doc "The instance to run a method of a class on, and the remaining arguments; see `Vllm.Call`."
  @spec place([term()]) :: {:ok, Locator.instance(), [term()]} | {:error, Error.t()}
  def place([%Ref{type: type, instance: instance} | _rest] = arguments)
      when type in @argument_classes,
      do: with({:ok, instance} <- Locator.locate(instance), do: {:ok, instance, arguments})

  def place([%Ref{instance: instance} | arguments]),
    do: with({:ok, instance} <- Locator.locate(instance), do: {:ok, instance, arguments})

  def place([name | arguments]) when is_atom(name) and name not in [nil, true, false],
    do: with({:ok, instance} <- Locator.locate(name), do: {:ok, instance, arguments})

  def place([{name, node} = instance | arguments]) when is_atom(name) and is_atom(node),
    do: with({:ok, instance} <- Locator.locate(instance), do: {:ok, instance, arguments})

  def place(arguments) do
    with {:ok, instance} <- Default.instance(),
         do: {:ok, instance, arguments}
  end

  @doc "The name of a method or a class: text, for the frame is lost if it is not, or an atom."
  @spec name(term(), String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def name(name, _what)
      when is_binary(name) and name != "" and byte_size(name) <= @max_name_bytes do
    if String.valid?(name), do: {:ok, name}, else: invalid("a name must be UTF-8 text")
  end

  def name(name, what) when is_atom(name) and name not in [nil, true, false],
    do: name |> Atom.to_string() |> name(what)

  def name(other, what) do
    invalid(
      "the name of #{what} must be an atom or a string of 1 to #{@max_name_bytes} bytes, got: " <>
        inspect(other, printable_limit: 100)
    )
  end

  @doc "Refuses what is no list, and a list with a tail that is none."
  @spec check_list(term()) :: :ok | {:error, Error.t()}
  def check_list(list) when is_list(list) and length(list) >= 0, do: :ok
  def check_list(other), do: invalid("arguments must be a list, got: #{inspect(other)}")

  @doc "Splits off the arguments that Python requires."
  @spec split_required(String.t(), [term()], non_neg_integer()) ::
          {:ok, [term()], [term()]} | {:error, Error.t()}
  def split_required(method, arguments, required) do
    case Enum.split(arguments, required) do
      {positional, []} when length(positional) == required ->
        {:ok, positional, [[], []]}

      {positional, [args_or_opts]} ->
        {:ok, positional, [args_or_opts, []]}

      {positional, [args, opts]} when is_list(opts) ->
        {:ok, positional, [args, opts]}

      _otherwise ->
        invalid(
          "#{method} was called with arguments that do not fit its signature; see its documentation"
        )
    end
  end

  @doc "Takes the bridge's options out of a keyword list that is the first argument."
  # In `from_engine_args(model: "…", rpc: [timeout: 1000])` Elixir's syntax puts everything into
  # one keyword list.
  @spec hoist([term()]) :: {[term()], keyword()}
  def hoist([[{key, _} | _] = first | positional]) when is_atom(key) and length(first) >= 0 do
    {rpc, first} = Enum.split_with(first, &match?({key, _} when key in @keys, &1))
    {[first | positional], rpc}
  end

  def hoist(positional), do: {positional, []}

  @doc "Positional arguments, named ones and the bridge's options."
  # `sleep(e)`, `sleep(e, [2])`, `sleep(e, level: 2)` and `sleep(e, [2], [])` become one form.
  @spec normalize([term()], term(), term()) ::
          {:ok, [term()], keyword(), map()} | {:error, Error.t()}
  def normalize(positional, args_or_opts, opts) do
    with :ok <- check_list(positional),
         {:ok, args, named} <- split(args_or_opts),
         {:ok, more_args, more_named} <- split(opts),
         {:ok, named, rpc} <- take_rpc(named ++ more_named),
         :ok <- check_unique(named) do
      {:ok, positional ++ args ++ more_args, named, rpc}
    end
  end

  defp split([]), do: {:ok, [], []}

  defp split(list) when is_list(list) and length(list) >= 0 do
    if Keyword.keyword?(list), do: {:ok, [], list}, else: {:ok, list, []}
  end

  defp split(other) do
    invalid(
      "further positional arguments are given as a list and named ones as a keyword list, " <>
        "got: #{inspect(other)}"
    )
  end

  defp take_rpc(named) do
    case Keyword.split(named, @keys) do
      {[], named} ->
        {:ok, named, @defaults}

      {rpc, named} ->
        with {:ok, options} <- joined(Keyword.values(rpc)),
             {:ok, rpc} <- Options.validate(@rpc, options, "rpc"),
             do: {:ok, named, rpc}
    end
  end

  # What is no keyword list is refused as a whole.
  defp joined(lists) do
    lists = Enum.reject(lists, &is_nil/1)

    case Enum.reject(lists, &Keyword.keyword?/1) do
      [] -> {:ok, Enum.concat(lists)}
      [wrong | _] -> Options.validate(@rpc, wrong, "rpc")
    end
  end

  defp check_unique(named) do
    keys = Keyword.keys(named)

    case keys -- Enum.uniq(keys) do
      [] -> :ok
      [key | _] -> invalid("the argument #{key} is given twice", %{"parameter" => "#{key}"})
    end
  end

  @doc "Refuses arguments that are longer than a message to the worker may be."
  @spec check_size(non_neg_integer()) :: :ok | {:error, Error.t()}
  def check_size(bytes) when bytes <= @max_argument_bytes, do: :ok

  def check_size(bytes) do
    invalid(
      "the arguments are #{bytes} bytes long; a call takes at most #{@max_argument_bytes} bytes",
      %{"size" => bytes, "limit" => @max_argument_bytes}
    )
  end

  defp invalid(message, details \\ %{}) do
    {:error, Error.new(:invalid, message, details: details)}
  end
end
