defmodule Vllm.Core.Instance.Top do
  @moduledoc false
  # Shows the status again and again, for `Vllm.top/1`.
  #
  # A terminal hands a program whole lines, so the key that ends it is Enter. A process of its own waits
  # for the line: it ends with the table, and so does the table when it has read one. With a time limit
  # nothing is read, because the terminal would go on waiting for the line when the time is over.

  alias Vllm.Core.Instance.Overview
  alias Vllm.Core.StatusTable

  @doc "Shows the status until Enter is pressed or the time is over."
  @spec run(%{interval: pos_integer(), timeout: timeout()}) :: :ok
  def run(%{interval: interval, timeout: timeout}) do
    reader = if timeout == :infinity, do: reader()
    first = Overview.read()
    state = %{status: first, lines: 0, interval: interval, reader: reader}
    loop(draw(state, hint(timeout)), deadline(timeout), hint(timeout))
  end

  defp reader do
    leader = Process.group_leader()

    {pid, monitor} =
      spawn_monitor(fn ->
        Process.group_leader(self(), leader)
        IO.gets("")
      end)

    {pid, monitor}
  end

  defp deadline(:infinity), do: :infinity
  defp deadline(timeout), do: System.monotonic_time(:millisecond) + timeout

  defp loop(state, deadline, hint) do
    case wait(state, left(state.interval, deadline)) do
      :over ->
        :ok

      :again ->
        state = %{state | status: Overview.read(state.status)}
        loop(draw(state, hint), deadline, hint)
    end
  end

  defp left(interval, :infinity), do: interval
  defp left(interval, deadline), do: min(interval, deadline - now())

  defp now, do: System.monotonic_time(:millisecond)

  defp wait(_state, left) when left <= 0, do: :over

  defp wait(%{reader: nil}, left) do
    Process.sleep(left)
    :again
  end

  defp wait(%{reader: {_pid, monitor}}, left) do
    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :over
    after
      left -> :again
    end
  end

  defp hint(:infinity), do: "press Enter to stop"
  defp hint(_timeout), do: nil

  # On a terminal the table takes the place of the one before.
  defp draw(%{lines: drawn} = state, hint) do
    lines = StatusTable.lines(state.status) ++ List.wrap(hint)
    IO.write([back(drawn), Enum.map(lines, &[&1, "\n"])])
    %{state | lines: length(lines)}
  end

  defp back(0), do: ""

  defp back(lines) do
    if IO.ANSI.enabled?(), do: [IO.ANSI.cursor_up(lines), "\r\e[J"], else: "\n"
  end
end
