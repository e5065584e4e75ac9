# A chat room: a GenServer with several people and one model. All of them see the answer while it is
# written, the history is kept, and anybody may stop the model.
#
#     mix run elixir/examples/chat_room.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

defmodule ChatRoom do
  use GenServer

  def start_link(options), do: GenServer.start_link(__MODULE__, options)

  @doc "The calling process gets `{:room, event}` from now on."
  def join(room, name), do: GenServer.call(room, {:join, name})

  # The room asks the engine, whose answer has a time limit of its own.
  def say(room, text), do: GenServer.call(room, {:say, text}, :infinity)

  @doc "Ends the answer that is being written. What there is of it stays in the history."
  def stop(room), do: GenServer.call(room, :stop)

  def history(room), do: GenServer.call(room, :history)

  @impl true
  def init(options) do
    state = %{
      engine: Keyword.fetch!(options, :engine),
      chat: [rpc: [stream_to: self()]] ++ Keyword.get(options, :chat, []),
      # pid => name
      people: %{},
      # The newest message first.
      history: [system: Keyword.fetch!(options, :system)],
      # The answer that is being written, if one is, and what is said meanwhile.
      stream: nil,
      answer: "",
      waiting: []
    }

    {:ok, state}
  end

  @impl true
  def handle_call({:join, name}, {pid, _tag}, state) do
    Process.monitor(pid)
    tell(state, {:joined, name})
    {:reply, :ok, put_in(state.people[pid], name)}
  end

  def handle_call({:say, text}, {pid, _tag}, state) do
    line = "#{state.people[pid]}: #{text}"
    tell(state, {:said, line})
    {:reply, :ok, answer(%{state | waiting: [{:user, line} | state.waiting]})}
  end

  def handle_call(:stop, _from, %{stream: nil} = state), do: {:reply, :ok, state}

  # The stream's last message follows: an error of the kind `:cancelled`.
  def handle_call(:stop, _from, state), do: {:reply, Vllm.Stream.cancel(state.stream), state}

  def handle_call(:history, _from, state), do: {:reply, Enum.reverse(state.history), state}

  @impl true
  def handle_info({:vllm, stream, {:item, delta}}, %{stream: stream} = state) do
    text = delta.content || ""
    tell(state, {:token, text})
    {:noreply, %{state | answer: state.answer <> text}}
  end

  def handle_info({:vllm, stream, :done}, %{stream: stream} = state),
    do: {:noreply, finish(state, :done)}

  def handle_info({:vllm, stream, {:error, error}}, %{stream: stream} = state),
    do: {:noreply, finish(state, error.kind)}

  # Somebody has left. The room does not need to know why.
  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state) do
    {name, people} = Map.pop(state.people, pid)
    state = %{state | people: people}
    tell(state, {:left, name})
    {:noreply, state}
  end

  # What was said while the model wrote is answered together.
  defp answer(%{stream: nil, waiting: [_ | _]} = state) do
    state = %{state | history: state.waiting ++ state.history, waiting: []}

    case Vllm.stream_chat(state.engine, Enum.reverse(state.history), state.chat) do
      {:ok, stream} -> %{state | stream: stream, answer: ""}
      {:error, error} -> finish(state, error.kind)
    end
  end

  defp answer(state), do: state

  defp finish(state, how) do
    tell(state, {:answered, state.answer, how})
    history = if state.answer == "", do: [], else: [{:assistant, state.answer}]
    answer(%{state | history: history ++ state.history, stream: nil, answer: ""})
  end

  defp tell(state, event), do: for({pid, _name} <- state.people, do: send(pid, {:room, event}))
end

# --- Two people in a room

# vLLM logs much while it loads.
Logger.configure(level: :error)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: Vllm.SmallModel.path!(:chat),
    max_model_len: 1024,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

{:ok, room} =
  ChatRoom.start_link(
    engine: engine,
    system: "You are in a chat room. Answer in one short sentence.",
    chat: [max_tokens: 40, temperature: 0.0]
  )

# Bob counts the pieces that he sees, until he has seen two answers.
bob =
  Task.async(fn ->
    :ok = ChatRoom.join(room, "Bob")

    count = fn count, pieces, answers ->
      receive do
        {:room, {:token, _text}} -> count.(count, pieces + 1, answers)
        {:room, {:answered, _text, _how}} when answers == 1 -> pieces
        {:room, {:answered, _text, _how}} -> count.(count, pieces, answers + 1)
        {:room, _other} -> count.(count, pieces, answers)
      end
    end

    count.(count, 0, 0)
  end)

:ok = ChatRoom.join(room, "Ada")

defmodule Screen do
  # Prints one answer as it comes, and stops the model after so many pieces.
  def follow(room, stop_after \\ :never, pieces \\ 0) do
    receive do
      {:room, {:token, text}} ->
        IO.write(text)
        if pieces == stop_after, do: ChatRoom.stop(room)
        follow(room, stop_after, pieces + 1)

      {:room, {:answered, _text, how}} ->
        IO.puts("  (#{how})\n")

      {:room, {:said, line}} ->
        IO.write("#{line}\nModel: ")
        follow(room, stop_after, pieces)

      {:room, {what, name}} ->
        IO.puts("#{name} has #{what}.")
        follow(room, stop_after, pieces)
    end
  end
end

:ok = ChatRoom.say(room, "What is the capital of France?")
Screen.follow(room)

# Ada stops this answer after a few words.
:ok = ChatRoom.say(room, "Tell us a long story about it.")
Screen.follow(room, 5)

IO.puts("Bob has seen #{Task.await(bob)} pieces. The history has:")
for {role, text} <- ChatRoom.history(room), do: IO.puts("  #{role}: #{inspect(text)}")

:ok = GenServer.stop(room)
{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
