defmodule Vllm.OtherNode do
  @moduledoc false
  # What tests have another node do. A test's own module exists only on the node that runs it.

  alias Vllm.{AsyncLLM, Stream}

  # Another node, a child of this one, with the code of this one. A busy machine boots it slowly.
  def boot(start \\ &:peer.start/1, options \\ %{}) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    {arguments, options} = Map.pop(options, :args, [])
    defaults = %{connection: :standard_io, wait_boot: 120_000, args: arguments ++ paths}
    {:ok, peer, _node} = start.(Map.merge(defaults, options))
    for application <- [:elixir, :logger], do: {:ok, _} = ensure_started(peer, application)
    peer
  end

  defp ensure_started(peer, application),
    do: call(peer, :application, :ensure_all_started, [application])

  # Without a limit but the test's own: that of :peer.call/4 is five seconds.
  def call(peer, module, function, arguments),
    do: :peer.call(peer, module, function, arguments, :infinity)

  # The process of a remote call ends with it; the instance has to stay.
  def start_instance(options) do
    {:ok, _started} = Application.ensure_all_started(:vllm_bridge)
    Supervisor.start_child(Vllm.Supervisor, {Vllm, options})
  end

  def generate(engine, prompt, params) do
    with {:ok, stream} <- AsyncLLM.generate(engine, prompt, params, "from-afar") do
      {:ok, stream |> Enum.map(&length(hd(&1.outputs).token_ids)) |> Enum.sum()}
    end
  end

  # A request that is still running when the call of this returns.
  def start_endless(engine, params) do
    test = self()

    spawn(fn ->
      {:ok, stream} = AsyncLLM.generate(engine, "count", params, "endless-afar")
      send(test, :accepted)
      Enum.each(stream, & &1)
    end)

    receive do: (:accepted -> :ok)
  end

  # Of a prompt whose elements know where they were made; the application runs what makes them.
  def generate_streamed(engine) do
    {:ok, _started} = Application.ensure_all_started(:vllm_bridge)
    elements = Elixir.Stream.map([1, 2], fn _ -> Atom.to_string(node()) end)
    {:ok, stream} = AsyncLLM.generate(engine, elements, [max_tokens: 1], "streamed-afar")
    Enum.map(stream, & &1.prompt)
  end

  # A process that gets the items of an endless stream as messages. Returns when it has got one.
  def receive_endless(engine, params) do
    {:ok, _started} = Application.ensure_all_started(:vllm_bridge)
    caller = self()

    receiver =
      spawn(fn ->
        rpc = [stream_to: self()]
        {:ok, stream} = AsyncLLM.generate(engine, "x", params, "received-afar", rpc: rpc)
        receive do: ({:vllm, ^stream, {:item, _output}} -> send(caller, :got_one))
        await_last(stream)
      end)

    receive do: (:got_one -> receiver)
  end

  defp await_last(stream) do
    receive do
      {:vllm, ^stream, {:item, _output}} -> await_last(stream)
      {:vllm, ^stream, last} -> receive(do: ({:tell, asking} -> send(asking, {:last, last})))
    end
  end

  # A process that makes so many chats, 16 at a time. It tells what they have ended with.
  def start_asking(engine, count) do
    done = :counters.new(1, [])
    :persistent_term.put(__MODULE__, done)

    spawn(fn ->
      outcomes =
        1..count
        |> Task.async_stream(fn _ -> ask(engine, done) end,
          max_concurrency: 16,
          timeout: :infinity
        )
        |> Enum.frequencies_by(fn {:ok, outcome} -> outcome end)

      receive do: ({:tell, asking} -> send(asking, {:last, outcomes}))
    end)
  end

  # How many of them there were so far.
  def asked, do: :counters.get(:persistent_term.get(__MODULE__), 1)

  defp ask(engine, done) do
    :counters.add(done, 1, 1)

    case Vllm.chat(engine, "Hello", max_tokens: 2) do
      {:ok, _answer} -> :ok
      {:error, error} -> error.kind
    end
  end

  # A process that tells when this node has heard that the connection to another one is gone.
  def await_nodedown(other) do
    spawn(fn ->
      Node.monitor(other, true)
      receive do: ({:nodedown, ^other} -> :ok)
      receive do: ({:tell, asking} -> send(asking, {:last, :down}))
    end)
  end

  # The last message of such a process.
  def last_message(receiver) do
    send(receiver, {:tell, self()})
    receive do: ({:last, last} -> last)
  end

  def start_pool(options) do
    {:ok, _started} = Application.ensure_all_started(:vllm_bridge)
    Supervisor.start_child(Vllm.Supervisor, {Vllm.Pool, options})
  end

  # A process that owns an object, and lives until its node ends.
  def own_object(engine), do: engine |> own_object_by() |> elem(0)

  # Also returns the process. It builds engines that are linked to it.
  def own_object_by(engine) do
    test = self()

    spawn(fn ->
      {:ok, object} = Vllm.call(engine, "make", ["object"])
      send(test, {:owned, object, self()})
      build_for_others()
    end)

    receive do: ({:owned, object, owner} -> {object, owner})
  end

  defp build_for_others do
    receive do
      {:build, instance, caller} ->
        linked = AsyncLLM.from_engine_args(instance, [model: "x"], rpc: [link: true])
        send(caller, {:built, linked})
        build_for_others()
    end
  end

  def link_engine_to(owner, instance) do
    send(owner, {:build, instance, self()})
    receive do: ({:built, linked} -> linked)
  end

  def take_two(engine, prompt, params) do
    {:ok, %Stream{} = stream} = AsyncLLM.generate(engine, prompt, params, "halted-afar")
    stream |> Enum.take(2) |> length()
  end
end
