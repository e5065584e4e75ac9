defmodule Vllm.Core.Instance.Drain do
  @moduledoc false
  # Gives calls in flight their grace period when the instance stops.
  #
  # This process only acts when it is stopped, which is before the connection is. The supervisor waits
  # until it has ended: when no call is in flight any more, or the grace period is over. During that
  # time the connection refuses new calls, and declared engines are no longer built.
  #
  # The supervisor also stops it when the worker has ended, to restart everything. Then there is nothing
  # to wait for, and whoever waits for an engine is told that the worker has ended.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Core.{Connection, RedactedServer}
  alias Vllm.Core.Instance.{Declared, LastFailure, Locator}

  # Milliseconds beyond the grace period, for the answer to arrive.
  @patience 500

  @spec start_link({atom(), pos_integer()}) :: GenServer.on_start()
  def start_link({instance, grace}) do
    name = Locator.process_name(instance, "Drain")
    GenServer.start_link(__MODULE__, {instance, grace}, name: name)
  end

  @doc false
  def child_spec({instance, grace}) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [{instance, grace}]},
      shutdown: grace + 2 * @patience
    }
  end

  @impl true
  def init({instance, grace}) do
    Process.flag(:trap_exit, true)
    {:ok, {instance, grace}}
  end

  @impl true
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl true
  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl RedactedServer.format_status?()
  def format_status(status), do: RedactedServer.hide(status, & &1)

  @impl true
  def terminate(_reason, {instance, grace}) do
    if LastFailure.find({instance, node()}) == nil do
      Declared.stop({instance, node()})
      Connection.drain({instance, node()}, grace)
    end
  end
end
