defmodule Vllm.Core.Call.Producer do
  @moduledoc false
  # The process that enumerates an argument: one element each time the worker asks for one, and none
  # before.
  #
  # It runs on the node of the caller, because an enumerable is code and what that code refers to, under
  # the application's own supervisor there. It ends
  #
  #   * after the last element, or when the enumerable has failed; both are reported to the worker;
  #   * when it is told to, because the call has failed or its stream is no longer consumed;
  #   * with the connection;
  #   * with the caller, until the call has returned. After that the consumer of the stream decides, through
  #     the connection.
  #
  # In each case the enumeration is halted properly: the after-functions of Stream.resource/3 and the
  # like run in this process.

  alias Vllm.{Codec, Error}
  alias Vllm.Core.{RedactedServer, RedactedSupervisor}
  alias Vllm.Core.Call.Arguments
  alias Vllm.Proto.{End, Failure, Input}

  @supervisor Vllm.Producers

  # Tags messages to this process, because the enumerable may receive messages of its own.
  @tag :vllm_producer

  @enforce_keys [:caller, :server, :step]
  defstruct [:caller, :server, :step, begun: false, count: 0]

  @doc false
  def child_spec(_options), do: RedactedSupervisor.tasks(@supervisor)

  @doc """
  Makes a call with a producer for its argument. `server` is the connection. `run_call` gets the
  producer and returns the call's first reply.
  """
  @spec during(Enumerable.t(), {atom(), node()}, (pid() -> reply)) :: reply | {:error, Error.t()}
        when reply: tuple()
  def during(enumerable, server, run_call) do
    with {:ok, producer} <- start(enumerable, server) do
      result = run_call.(producer)
      tell(producer, if(returned?(result), do: :handed_over, else: :stop))
      result
    end
  end

  defp returned?(reply), do: elem(reply, 0) in [:stream, :value, :handed]

  defp start(enumerable, server) do
    caller = self()
    # An anonymous function, because OTP's report of a failed task shows its arguments, and the
    # enumerable holds prompts.
    Task.Supervisor.start_child(@supervisor, fn ->
      # The connection reports the end of one that has not ended normally.
      with {:error, _logged} <-
             RedactedServer.guarded(__MODULE__, fn -> run(enumerable, caller, server) end),
           do: exit({:shutdown, :failed})
    end)
  catch
    :exit, _reason ->
      {:error,
       Error.new(
         :worker_down,
         "a prompt that is an enumerable needs the application :vllm_bridge on the node of the caller; " <>
           "start it there"
       )}
  end

  @doc "Ends the enumeration. Called by the connection."
  @spec stop(pid()) :: :ok
  def stop(producer), do: tell(producer, :stop)

  @doc "Asks for the next element of the call `id`. Called by the connection."
  @spec want(pid(), pos_integer()) :: :ok
  def want(producer, id), do: tell(producer, {:wanted, self(), id})

  defp tell(producer, message) do
    send(producer, {@tag, message})
    :ok
  end

  ## The process

  defp run(enumerable, caller, server) do
    loop(%__MODULE__{
      caller: Process.monitor(caller),
      server: Process.monitor(server),
      step: &Enumerable.reduce(enumerable, &1, fn element, _acc -> {:suspend, element} end)
    })
  end

  defp loop(%{caller: caller, server: server} = state) do
    receive do
      {@tag, {:wanted, connection, id}} ->
        produce(state, connection, id)

      {@tag, :handed_over} ->
        Process.demonitor(caller, [:flush])
        loop(state)

      {@tag, :stop} ->
        halt(state)

      {:DOWN, monitor, :process, _pid, _reason} when monitor in [caller, server] ->
        halt(state)
    end
  end

  defp produce(state, connection, id) do
    case next(state.step) do
      {:element, element, step} ->
        state = %{state | step: step, begun: true, count: state.count + 1}

        case encode(element, state.count - 1) do
          {:ok, bytes} ->
            send_step(connection, id, {:element, bytes})
            loop(state)

          {:error, error} ->
            send_step(connection, id, {:failure, failure(error)})
            halt(state)
        end

      :done ->
        send_step(connection, id, {:end, %End{}})

      {:raised, error} ->
        send_step(connection, id, {:failure, failure(error)})
    end
  end

  defp next(step) do
    case step.({:cont, nil}) do
      {:suspended, element, step} -> {:element, element, step}
      {_done_or_halted, _acc} -> :done
    end
  catch
    kind, reason -> {:raised, raised(kind, reason, __STACKTRACE__)}
  end

  defp halt(%{begun: false}), do: :ok

  # The failure of an after-function is in nobody's way here, and the report of a task that crashes
  # would show the elements in its stack trace.
  defp halt(state) do
    state.step.({:halt, nil})
    :ok
  catch
    kind, reason ->
      what = "a prompt's enumerable, when it was halted,"
      RedactedServer.failed(what, kind, reason, __STACKTRACE__)
      :ok
  end

  defp encode(element, index) do
    with {:ok, iodata} <- Codec.encode(element, "prompt[#{index}]"),
         bytes = IO.iodata_to_binary(iodata),
         :ok <- Arguments.check_size(byte_size(bytes)) do
      {:ok, bytes}
    end
  end

  @doc "Sends one step of an argument to the connection that serves its call."
  @spec send_step(pid(), pos_integer(), {:element, binary()} | {:end | :failure, struct()}) :: :ok
  def send_step(connection, id, step) do
    send(connection, {:input, %Input{call: id, step: step}})
    :ok
  end

  # Bytes of a message or a traceback.
  @max_text 16 * 1024

  @doc """
  Text as a frame takes it. An exception may have any message: the worker ends a session for a frame
  that is too long, or has text that is not UTF-8.
  """
  @spec text(binary()) :: String.t()
  def text(text) when byte_size(text) > @max_text do
    cut = binary_part(text, 0, @max_text)
    "#{text(cut)}… (#{byte_size(text)} bytes)"
  end

  def text(text) do
    if String.valid?(text),
      do: text,
      else: for(part <- String.chunk(text, :valid), into: "", do: valid(part))
  end

  defp valid(part), do: if(String.valid?(part), do: part, else: "\uFFFD")

  @verbs %{error: "raised", throw: "threw", exit: "exited with"}

  defp raised(kind, reason, stacktrace) do
    banner = Exception.format_banner(kind, reason, stacktrace)

    Error.new(:invalid, "the prompt's enumerable #{@verbs[kind]} #{banner}",
      traceback: Exception.format_stacktrace(stacktrace)
    )
  end

  defp failure(%Error{} = error) do
    {:ok, details} = Codec.encode(error.details)

    %Failure{
      kind: error.kind,
      message: text(error.message),
      traceback: text(error.traceback || ""),
      details: IO.iodata_to_binary(details)
    }
  end
end
