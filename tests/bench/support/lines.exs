# A helper process that is told and answers by lines. It ends with its stdin, and that with this one.

defmodule Bench.Lines do
  # A line of a thousand times is longer than what a port gives at once.
  @longest 1_000_000

  def open(command, arguments, env \\ []) do
    env = for {name, value} <- env, do: {to_charlist(name), to_charlist(value)}

    Port.open({:spawn_executable, System.find_executable(command)}, [
      :binary,
      :exit_status,
      line: @longest,
      args: arguments,
      env: env
    ])
  end

  def write(port, line), do: Port.command(port, line <> "\n")

  @doc "The next line; raises where the process has ended instead."
  def read(port) do
    receive do
      {^port, {:data, {:eol, line}}} -> line
      {^port, {:exit_status, status}} -> raise "it ended with status #{status}"
    end
  end

  @doc "Closes its stdin, and waits until it has ended, if it has not before."
  def close(port) do
    with {:os_pid, pid} <- Port.info(port, :os_pid) do
      Port.close(port)
      wait_ended(pid)
    end
  end

  defp wait_ended(pid) do
    if File.exists?("/proc/#{pid}") do
      Process.sleep(20)
      wait_ended(pid)
    end
  end
end
