defmodule Vllm.Core.Pool.Keeper do
  @moduledoc false
  # Keeps one instance of a pool's own running. A supervisor would start the members one after the other,
  # and end all of them when one has failed too often. So each has a process like this one, which starts
  # it, beside the others, and again after a pause when it has ended.

  use GenServer
  use Vllm.Core.RedactedServer

  require Logger

  alias Vllm.Error
  alias Vllm.Core.{Instance, RedactedServer}
  alias Vllm.Core.Pool.Members

  # Milliseconds.
  @first_pause 1_000
  @longest_pause 60_000

  @enforce_keys [:pool, :options]
  # instance: the process of the instance that runs; failures: how many attempts in a row have failed
  defstruct [:pool, :options, :instance, failures: 0]

  @doc "Takes the pool's name and the options of the instance."
  @spec start_link({atom(), keyword()}) :: GenServer.on_start()
  def start_link({pool, options}), do: GenServer.start_link(__MODULE__, {pool, options})

  @doc false
  def child_spec({_pool, options} = argument) do
    %{
      id: {__MODULE__, options[:name]},
      start: {__MODULE__, :start_link, [argument]},
      type: :supervisor,
      # The instance drains.
      shutdown: :infinity
    }
  end

  @impl true
  def init({pool, options}) do
    Process.flag(:trap_exit, true)
    {:ok, %__MODULE__{pool: pool, options: options}, {:continue, :start}}
  end

  @impl true
  def handle_continue(:start, state), do: {:noreply, start(state)}

  @impl true
  def handle_info(:start, %{instance: nil} = state), do: {:noreply, start(state)}

  def handle_info({:EXIT, pid, reason}, %{instance: pid} = state) when is_pid(pid) do
    Members.own(state.pool, place(state), :starting)

    Logger.error(
      "the instance #{inspect(name(state))} of a pool has ended: #{RedactedServer.reason(reason)}"
    )

    {:noreply, again(%{state | instance: nil})}
  end

  # Of an instance that did not start.
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl true
  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def terminate(_reason, %{instance: pid}) when is_pid(pid) do
    GenServer.stop(pid, :shutdown, :infinity)
  catch
    :exit, _ended -> :ok
  end

  def terminate(_reason, _state), do: :ok

  @impl RedactedServer.format_status?()
  # The options of an instance may hold a token.
  def format_status(status),
    do: RedactedServer.hide(status, &%{pool: &1.pool, instance: &1.options[:name]})

  defp start(state) do
    case Instance.start_link(state.options) do
      {:ok, pid} ->
        %{state | instance: pid, failures: 0}

      {:error, reason} ->
        error = error(reason, name(state))
        Members.own(state.pool, place(state), {:failed, error})
        again(state, error)
    end
  end

  defp error(%Error{} = error, _name), do: error

  defp error({:already_started, _pid}, name),
    do:
      Error.new(
        :conflict,
        "a process named #{inspect(name)} runs already; give the member another name"
      )

  defp error(reason, name),
    do:
      Error.new(:worker_down, "#{inspect(name)} did not start: #{RedactedServer.reason(reason)}")

  defp again(state, error) do
    pause = pause(state.failures)

    Logger.error(
      "the instance #{inspect(name(state))} of the pool #{inspect(state.pool)} did not start: " <>
        "#{error.message}; next attempt in #{pause} ms",
      vllm_instance: name(state)
    )

    again(state)
  end

  defp again(state) do
    Process.send_after(self(), :start, pause(state.failures))
    %{state | failures: state.failures + 1}
  end

  @doc "Milliseconds until the next attempt, doubled with each that has failed."
  @spec pause(non_neg_integer()) :: pos_integer()
  def pause(failures), do: min(@first_pause * Integer.pow(2, min(failures, 16)), @longest_pause)

  defp name(state), do: Keyword.fetch!(state.options, :name)
  defp place(state), do: {name(state), node()}
end
