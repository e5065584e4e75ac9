defmodule Vllm.Call do
  @moduledoc """
  Makes calls to Python.

  Every function of a generated module is one call of `invoke/5`, `invoke_class/4` or `collect/5`.

  Arguments are encoded and results are decoded in the calling process, so the connection process only
  moves bytes.

  ## Arguments

  Names and order are Python's. Arguments that Python requires are positional. The others may follow as
  a list, by name, or both. These calls are the same:

      Vllm.call(engine, "sleep", [2])
      Vllm.call(engine, "sleep", [], level: 2)
      Vllm.call(engine, "sleep", level: 2)

  ## Options of the bridge

  They are given under one key that no Python parameter has, as in `rpc: [timeout: 5_000]`:

  #{Vllm.Core.Call.Arguments.docs()}
  `:__runtime__` is accepted in place of `:rpc`.
  """

  alias Vllm.{Codec, Error, Ref, Stream, Timeouts}
  alias Vllm.Core.Call.{Arguments, Caller, Ownership, StreamedArgument}
  alias Vllm.Core.Codec.Failure
  alias Vllm.Core.Options
  alias Vllm.Core.Pool.Requests
  alias Vllm.Core.Telemetry.{CallSpan, Models, Progress, Trace}
  alias Vllm.Core.Worker.{Explanation, Loading}
  alias Vllm.Proto.CallRequest

  # The option `items` => what the worker is asked for.
  @items %{outputs: :unspecified, text: :text, token_ids: :token_ids}

  # Encoded arguments of fewer bytes are joined into one binary, as are those in more than a few parts.
  @large 64 * 1024
  @few 8

  # Methods of an engine that make a request => the positions of the request's id and of its trace
  # headers, nil if these can only be given by name.
  @requests %{"generate" => {2, nil}, "encode" => {2, 4}, "add_request" => {0, 6}}

  # Methods that make requests whose ids are the worker's, and take trace headers by name.
  @traced ~w(chat stream_chat embed classify score encode_batch)

  @typedoc "What a call returns."
  @type result(value) :: {:ok, value} | {:error, Error.t()}
  @typedoc "Further arguments: by position, or by their names."
  @type args_or_opts :: [term()] | keyword()

  @doc """
  Calls a method of the object behind a reference, or of a declared engine that is given by its name:
  `{MyApp.Vllm, :chat}`, where `MyApp.Vllm` is an instance or a `Vllm.Pool`.

  `positional` are the arguments that the method requires. `args_or_opts` is a list of further
  positional arguments, or a keyword list. `opts` is a keyword list.
  """
  @spec invoke(Vllm.engine(), String.t() | atom(), [term()], args_or_opts(), keyword()) ::
          result(term())
  def invoke(ref, method, positional \\ [], args_or_opts \\ [], opts \\ [])

  def invoke(%Ref{} = ref, method, positional, args_or_opts, opts) do
    with :ok <- Ref.check(ref),
         {:ok, method} <- Arguments.name(method, "a method"),
         do: invoke_checked(ref, method, positional, args_or_opts, opts)
  end

  # An engine by its name, of an instance or of a pool.
  def invoke({_place, _engine} = name, method, positional, args_or_opts, opts) do
    with {:ok, method} <- Arguments.name(method, "a method"),
         {:ok, args, kwargs, rpc} <- Arguments.normalize(positional, args_or_opts, opts),
         {:ok, args, kwargs, begun?} <- StreamedArgument.watch(args, kwargs) do
      options = %{affinity: rpc.affinity, timeout: rpc.timeout, begun?: begun?}

      Requests.run(name, method, options, fn ref, timeout ->
        rpc = Map.to_list(%{rpc | timeout: timeout})
        invoke(ref, method, args, kwargs, rpc: rpc)
      end)
    end
  end

  def invoke(other, method, _positional, _args_or_opts, _opts) do
    method = if is_binary(method), do: method, else: inspect(method)

    invalid(
      "#{method} needs the Vllm.Ref of an object, or {instance, engine}, as its first argument, " <>
        "got: #{inspect(other)}"
    )
  end

  defp invoke_checked(ref, method, positional, args_or_opts, opts) do
    metadata = ref.instance |> metadata(ref.type, method) |> Map.put(:ref, ref)

    CallSpan.run(metadata, fn ->
      with {:ok, args, kwargs, rpc} <- Arguments.normalize(positional, args_or_opts, opts) do
        request = %CallRequest{
          target: {:ref, ref.id},
          incarnation: ref.incarnation,
          method: method
        }

        rpc = with_timeout(rpc, ref.type, method, args, kwargs)
        {rpc, kwargs} = with_request(rpc, ref.type, method, args, kwargs)
        rpc = Map.put(rpc, :ref, ref)
        run(ref.instance, ref.type, request, args, kwargs, rpc)
      end
    end)
  end

  @doc """
  Calls a method that streams and waits for its last item, as `Vllm.Stream.collect/1` does.
  """
  @spec collect(Vllm.engine(), String.t(), [term()], args_or_opts(), keyword()) :: result(term())
  def collect(ref, method, positional, args_or_opts, opts \\ []) do
    with {:ok, method} <- Arguments.name(method, "a method"),
         {:ok, _args, _kwargs, rpc} <- Arguments.normalize(positional, args_or_opts, opts),
         :ok <- check_own_stream(method, rpc),
         {:ok, stream} <- invoke(ref, method, positional, args_or_opts, opts),
         do: Stream.collect(stream)
  end

  defp check_own_stream(_method, %{stream_to: nil}), do: :ok

  defp check_own_stream(method, _rpc) do
    invalid(
      "#{method}_collect consumes the stream itself and takes no stream_to; call #{method} instead",
      %{"parameter" => "stream_to"}
    )
  end

  @doc """
  Calls a method of a class that the worker serves, such as `AsyncLLM.from_engine_args`.

  `arguments` are those of the Elixir function. They may begin with the instance to run the method on:
  its name, or any reference of its worker. Without one it runs on the default instance, which is
  started if necessary. A reference to an `AsyncEngineArgs` or a `VllmConfig` is itself an argument,
  and the method runs where that object is. The first `required` arguments are positional;
  `args_or_opts` and `opts` follow.
  """
  @spec invoke_class(String.t(), String.t(), non_neg_integer(), [term()]) :: result(term())
  def invoke_class(class, method, required, arguments) do
    with {:ok, class} <- Arguments.name(class, "a class"),
         {:ok, method} <- Arguments.name(method, "a method"),
         :ok <- Arguments.check_list(arguments),
         :ok <- Options.check({:range, 0, 255}, required, "the number of required arguments"),
         do: invoke_checked(class, method, required, arguments)
  end

  defp invoke_checked(class, method, required, arguments) do
    metadata = nil |> metadata(class, method) |> Map.put(:ref, nil)

    CallSpan.run(metadata, fn ->
      with {:ok, instance, arguments} <- Arguments.place(arguments),
           {:ok, positional, [args_or_opts, opts]} <-
             Arguments.split_required(method, arguments, required),
           {positional, hoisted} = Arguments.hoist(positional),
           {:ok, args, kwargs, rpc} <-
             Arguments.normalize(positional, args_or_opts, hoisted ++ opts) do
        request = %CallRequest{target: {:class_name, class}, method: method}
        rpc = with_timeout(rpc, class, method, args, kwargs)
        mark = Explanation.mark(instance)
        call = fn -> run(instance, class, request, args, kwargs, rpc) end

        instance
        |> Loading.shown(class, method, mark, call)
        |> explain(instance, mark)
        |> Models.learn(args, kwargs)
      end
    end)
  end

  # Why EngineCore did not start is only in the worker's log. The mark excludes earlier failures.
  defp explain({:error, %Error{kind: :engine_error} = error}, instance, mark),
    do: {:error, Explanation.explain(instance, error, mark)}

  defp explain(result, _instance, _mark), do: result

  defp with_timeout(%{timeout: nil} = rpc, class, method, args, kwargs),
    do: %{rpc | timeout: default_timeout(class, method, args, kwargs)}

  defp with_timeout(rpc, _class, _method, _args, _kwargs), do: rpc

  # Finds the request's id, for telemetry, and adds the caller's trace context, for vLLM.
  defp with_request(rpc, "AsyncLLM", method, args, kwargs) when is_map_key(@requests, method) do
    {id, headers} = Map.fetch!(@requests, method)
    rpc = Map.put(rpc, :request_id, kwargs[:request_id] || Enum.at(args, id))
    positional? = headers != nil and length(args) > headers
    {rpc, if(positional?, do: kwargs, else: traced(kwargs, rpc))}
  end

  defp with_request(rpc, "AsyncLLM", method, _args, kwargs) when method in @traced,
    do: {rpc, traced(kwargs, rpc)}

  defp with_request(rpc, _class, _method, _args, kwargs), do: {rpc, kwargs}

  defp traced(kwargs, rpc) do
    with true <- rpc.trace and not Keyword.has_key?(kwargs, :trace_headers),
         %{} = headers <- Trace.headers() do
      [{:trace_headers, headers} | kwargs]
    else
      _none -> kwargs
    end
  end

  @doc false
  # By class and method, so that `Vllm.call/4` has the same deadlines as the generated functions.
  @spec default_timeout(String.t(), String.t(), [term()], keyword()) :: timeout()
  def default_timeout(class, method, args, kwargs) do
    without_limit =
      for {name, position, value} <- Timeouts.unlimited_with(class, method),
          given <- given(name, position, args, kwargs),
          # Atoms are sent as strings.
          given == value or (is_atom(given) and Atom.to_string(given) == value),
          do: value

    if without_limit == [], do: Timeouts.default(class, method), else: :infinity
  end

  defp given(name, position, args, kwargs) do
    named = for {key, value} <- kwargs, to_string(key) == name, do: value
    if position, do: Enum.slice(args, position, 1) ++ named, else: named
  end

  ## The call

  defp run(instance, class, request, args, kwargs, rpc) do
    with {:ok, enumerable, args, kwargs} <- take_stream(request, args, kwargs),
         {:ok, args} <- encode(args),
         {:ok, kwargs} <- encode_named(kwargs),
         :ok <- Arguments.check_size(IO.iodata_length([args | kwargs])) do
      request = %{
        request
        | args: args,
          kwargs: kwargs,
          timeout_ms: timeout_ms(rpc.timeout),
          items: Map.fetch!(@items, rpc.items)
      }

      deadline = deadline(rpc.timeout)
      sent = System.monotonic_time()

      on_progress = on_progress(instance, class, request.method)

      case Caller.call(instance, request, rpc.timeout, rpc.window, enumerable, on_progress) do
        {:value, payload} ->
          Codec.decode(payload, instance)

        {:handed, receipt, {:value, payload}} ->
          receive_handed(payload, receipt, instance, rpc)

        {:stream, stream} ->
          open_stream(stream, instance, class, request.method, deadline, sent, rpc)

        {:failure, failure} ->
          {:error, Failure.from_proto(failure)}

        {:error, error} ->
          {:error, error}

        _other ->
          {:error,
           Error.new(
             :protocol,
             "the worker sent a first reply that is not allowed; this is a bug in vllm_bridge"
           )}
      end
    end
  end

  # Batches and datasets tell how far they have come.
  defp on_progress(instance, class, method)
       when class in ["LLM", "VllmEngine", "ChatModel"] or
              (class == "AsyncLLM" and method in ["embed", "classify", "score", "encode_batch"]),
       do: Progress.reporter(metadata(instance, class, method))

  defp on_progress(_instance, _class, _method), do: nil

  # Only methods of objects take streams.
  defp take_stream(%{target: {:ref, _id}}, args, kwargs), do: StreamedArgument.take(args, kwargs)
  defp take_stream(_request, args, kwargs), do: {:ok, nil, args, kwargs}

  defp open_stream(stream, instance, class, method, deadline, sent, rpc) do
    stream = %Stream{
      source: stream,
      instance: instance,
      class: class,
      method: method,
      window: rpc.window,
      items: rpc.items,
      deadline: deadline,
      sent: {node(), sent},
      request_id: rpc[:request_id],
      ref: rpc[:ref]
    }

    if rpc.stream_to, do: Stream.forward_to(stream, rpc.stream_to), else: {:ok, stream}
  end

  defp encode([]), do: {:ok, ""}

  defp encode(term) do
    with {:ok, iodata} <- Codec.encode(term, "arguments"), do: {:ok, flat(iodata)}
  end

  # The connection gets one binary, or a few large ones such as a tensor and the bytes around it.
  # Neither is copied in the message.
  defp flat(iodata) do
    with true <- IO.iodata_length(iodata) >= @large,
         binaries when length(binaries) <= @few <- :erlang.iolist_to_iovec(iodata) do
      binaries
    else
      _small_or_many -> IO.iodata_to_binary(iodata)
    end
  end

  defp encode_named([]), do: {:ok, ""}
  defp encode_named(named), do: named |> Map.new(fn {k, v} -> {to_string(k), v} end) |> encode()

  # The value holds references.
  defp receive_handed(payload, receipt, instance, rpc) do
    case Codec.decode(payload, instance) do
      {:ok, value} ->
        Ownership.received(receipt, self(), rpc.link)
        {:ok, value}

      {:error, error} ->
        Ownership.refused(receipt)
        {:error, error}
    end
  end

  # On the wire, 0 means no timeout.
  defp timeout_ms(:infinity), do: 0
  defp timeout_ms(timeout), do: max(timeout, 1)

  # With the node, because a monotonic time is only valid on one.
  defp deadline(:infinity), do: :infinity
  defp deadline(timeout), do: {node(), System.monotonic_time(:millisecond) + timeout}

  defp metadata({name, _node}, class, method), do: metadata(name, class, method)
  defp metadata(name, class, method), do: %{instance: name, class: class, method: method}

  defp invalid(message, details \\ %{}) do
    {:error, Error.new(:invalid, message, details: details)}
  end
end
