defmodule Vllm.Core.Connection.Opening do
  @moduledoc false
  # Opens the session: from the options of a connection to its state.

  alias Vllm.Error
  alias Vllm.Core.Worker
  alias Vllm.Core.Connection.{Closing, Incoming, Outgoing, Reconnect, Resumption, State}
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Proto.ClientHello

  @doc """
  Whether this instance had a connection before. At the start of an instance with `connect:` its
  caller waits for the worker. When the session was lost later the supervisor must not wait, because
  it could not be stopped meanwhile.
  """
  @spec again?(keyword()) :: boolean()
  def again?(options) do
    case options[:starts] do
      nil ->
        false

      starts ->
        :counters.add(starts, 1, 1)
        :counters.get(starts, 1) > 1
    end
  end

  @doc "Opens the first session; the process that starts the instance waits for it."
  @spec run(keyword()) :: {:ok, State.t()} | {:error, Error.t()}
  def run(options) do
    with {:error, error} <- open(options, deadline(options)),
         do: {:error, explain(options, error)}
  end

  # The addresses of a worker that was started elsewhere are in the error, and that it cannot be reached.
  defp explain(options, error) do
    case Keyword.fetch!(options, :address) do
      {:worker, _worker} -> Closing.explain(instance(options), error)
      _addresses -> error
    end
  end

  @doc """
  Opens a session again after the one with a worker that was started elsewhere was lost. Tries without
  end.
  """
  @spec run_again(keyword()) :: {:ok, State.t()} | {:error, Error.t()}
  def run_again(options) do
    instance = instance(options)

    with {:ok, addresses, _token} <- locate(options) do
      Reconnect.wait(instance, addresses, LastFailure.find(instance), Reconnect.pause(0))
      open(options, :infinity)
    end
  end

  @doc "The instance that the connection is a part of, as other nodes know it."
  @spec instance(keyword()) :: Locator.instance()
  def instance(options), do: {Keyword.fetch!(options, :instance), node()}

  defp open(options, deadline) do
    started = System.monotonic_time()
    instance = instance(options)

    with {:ok, addresses, token} <- locate(options),
         credentials = {greeting(options, token), Keyword.fetch!(options, :tls)},
         {:ok, socket, session, hello, frames} <-
           Reconnect.run(instance, addresses, credentials, deadline),
         state = state(options, socket, session, hello),
         {:ok, state} <- Incoming.frames(state, frames) do
      Closing.event(:up, state, %{duration: state.since - started})

      # So that terminate/2 runs and answers waiting calls. Not earlier, or a stop would wait for a
      # worker that does not answer.
      Process.flag(:trap_exit, true)
      {:ok, state}
    else
      {:error, error} ->
        {:error, error}

      # The frames that came with the hello ended the session. The socket closes with this process.
      {:error, error, state} ->
        Resumption.lost(state)
        {:error, error}
    end
  end

  defp greeting(options, token) do
    hello = Resumption.hello(options[:resumption], grace(options))
    %ClientHello{hello | token: token}
  end

  defp state(options, socket, session, hello) do
    {references, unknown} = Resumption.opened(options[:resumption], hello, grace(options))

    state = %State{
      instance: instance(options),
      socket: socket,
      session: session,
      hello: %{hello | held: []},
      references: references,
      resumption: options[:resumption],
      silent_after: Keyword.get(options, :silent_after, :infinity),
      on_engine_event: Keyword.get(options, :on_engine_event, fn _instance, _event -> :ok end),
      since: System.monotonic_time()
    }

    Outgoing.put(state, :releases, unknown)
  end

  defp grace(options), do: Keyword.get(options, :disconnect_grace, 0)

  defp locate(options) do
    case Keyword.fetch!(options, :address) do
      {:worker, worker} -> address(worker, options)
      addresses -> {:ok, List.wrap(addresses), Keyword.get(options, :token, "")}
    end
  end

  defp address(worker, options) do
    with {:ok, address, token} <- Worker.address(worker), do: {:ok, [address], token}
  catch
    :exit, _ended -> {:error, Locator.down(instance(options), :noproc)}
  end

  # The instance's own worker serves once it has given its address: one attempt is enough. A worker
  # that is started elsewhere may not have started yet.
  defp deadline(options) do
    case {Keyword.fetch!(options, :address), Keyword.get(options, :start_timeout, 0)} do
      {{:worker, _worker}, _timeout} -> now()
      {_addresses, :infinity} -> :infinity
      {_addresses, timeout} -> now() + timeout
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
