defmodule Vllm.ShellWorkerCase do
  @moduledoc false
  # Tests of the owner of a worker's process, with a shell script in the place of Python.

  use ExUnit.CaseTemplate

  import ExUnit.Callbacks

  alias Vllm.Core.Worker

  using do
    quote do
      import ExUnit.CaptureLog
      import Vllm.BridgeCase, only: [alive?: 1]
      import Vllm.FakeWorkerCase, only: [wait_until: 1]
      import Vllm.ShellWorkerCase

      alias Vllm.Core.Worker
      alias Vllm.Error

      @moduletag :tmp_dir

      # The READY line as the worker prints it. The script leads a process group, as the worker does.
      @ready ~S|echo "VLLM_BRIDGE READY {\"address\": \"unix:/x\", \"pid\": $$}"|
    end
  end

  setup %{tmp_dir: dir} do
    Process.flag(:trap_exit, true)
    # A socket's path has to be short; the test's folder is not.
    # Its name is random, because other test runs may use the same folder.
    name = Base.encode32(:crypto.strong_rand_bytes(5), case: :lower)
    sockets = Path.join(System.tmp_dir!(), "w#{name}")
    File.mkdir!(sockets)
    on_exit(fn -> File.rm_rf!(sockets) end)
    %{dir: dir, sockets: sockets}
  end

  def start(context, script, options \\ []) do
    path = Path.join(context.dir, "python")
    File.write!(path, "#!/bin/sh\n" <> script)
    File.chmod!(path, 0o755)
    start_with(context, path, options)
  end

  def start_with(context, python, options) do
    defaults = %{
      name: context.test,
      python: python,
      worker_args: [],
      engine_class: nil,
      env: %{},
      listen: :unix,
      socket_dir: context.sockets,
      start_timeout: 60_000,
      grace: 2_000,
      max_calls: 10_000,
      token_path: :auto,
      nice: 10,
      watchdog: %{stall_after: 120_000},
      log: :debug
    }

    Worker.start_link(Map.merge(defaults, Map.new(options)))
  end

  def stop(worker), do: GenServer.stop(worker, :shutdown)

  def kill(os_pid), do: System.cmd("/bin/sh", ["-c", "kill -KILL #{os_pid}"])
end
